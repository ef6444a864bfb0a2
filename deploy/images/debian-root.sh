#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A small Debian with one package and what it depends on, as an archive: debian-root.sh PACKAGE.deb ROOT.tar
#
# The Debian comes from its mirror by debootstrap, once, and is kept beside the other tools; no registry of
# images is asked. The same packages give the same archive: names in order, times at most
# SOURCE_DATE_EPOCH, nothing that a machine made for itself. Needs root.
set -euo pipefail
package=$(realpath "$1")
archive=$(realpath "$2")
tools=${OPENSHELL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent}
tree=$tools/debian-12
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -e "$tree/etc/debian_version" ]; then
    rm -rf "${tree:?}.new"
    debootstrap --variant=minbase --include=adduser,ca-certificates bookworm "$tree.new" >"$work/log" 2>&1 || {
        tail -n 5 "$work/log" >&2
        exit 77
    }
    mv "$tree.new" "$tree"
fi

# A file system of its own in memory, on top of the tree, which stays as it is.
# shellcheck disable=SC2016 # the inner shells expand it
unshare -m bash -c '
    set -euo pipefail
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
    cd "$1/root"
    cp "$3" tmp/package.deb
    cp /etc/resolv.conf etc/resolv.conf
    mount -t proc proc proc
    mount --bind /dev dev
    chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root DEBIAN_FRONTEND=noninteractive \
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} sh -c "
        dpkg -i /tmp/package.deb || { apt-get update && apt-get install -y --no-install-recommends -f; }" >log 2>&1 || {
        tail -n 20 log >&2
        exit 1
    }
    umount proc dev
    # Packages, their caches, and what is read by people only; licences stay.
    rm -rf log tmp/* var/lib/apt/lists/* var/cache/* var/log/* usr/share/{man,info,locale,lintian} run/* \
        etc/machine-id etc/resolv.conf var/lib/dpkg/*-old etc/*- root/.[!.]*
    find usr/share/doc -mindepth 2 ! -path "*openshell*" ! -name "copyright*" ! -type d -delete
    find usr/share/doc -mindepth 1 -type d -empty -delete
    find . -xdev -name __pycache__ -prune -exec rm -rf {} +
    tar --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --one-file-system \
        --format=gnu -cf "$4" .
' debian-root "$work" "$tree" "$package" "$archive"
