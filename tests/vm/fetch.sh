# shellcheck shell=bash disable=SC2154 # what is taken
# SPDX-License-Identifier: Apache-2.0
# Kernels and busybox of guests, from Debian's packages; sourced. Takes: kernel (debian or backports),
# work (a temporary folder), cache, key, backports, skip().

# apt COMMAND…: of the release that the kernel is from, with lists of its own where it is not this one
apt() {
    local tool=$1
    shift
    case $kernel in
    debian) "$tool" -q "$@" ;;
    backports)
        "$tool" -q -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=- \
            -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" "$@"
        ;;
    esac
}

# depends PACKAGE PATTERN: the first dependency that matches
depends() { apt apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

# Kernel and modules, unpacked. The folder appears whole or not at all.
fetch_kernel() {
    local packages image fetch=$work/fetch
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$fetch/root"
    if [ "$kernel" = backports ]; then
        [ -e "$key" ] || skip "$key is missing, and so Debian's key"
        echo "deb [signed-by=$key] $backports" >"$work/apt/sources.list"
        apt apt-get update >/dev/null 2>&1 || skip "the list of $backports cannot be fetched"
    fi
    image=$(depends linux-image-cloud-amd64 'linux-image-.*')
    [ -n "$image" ] || skip "no linux-image-cloud-amd64 is known here (apt-get update?)"
    packages=$image
    if [ "$kernel" = backports ]; then
        packages="$(depends "$image" 'linux-binary-.*') $(depends "$image" 'linux-modules-.*')"
    fi
    # shellcheck disable=SC2086 # a list
    (cd "$fetch" && apt apt-get download $packages >/dev/null 2>&1) ||
        skip "$packages cannot be fetched"
    for deb in "$fetch"/*.deb; do dpkg-deb -x "$deb" "$fetch/root"; done
    mkdir -p "$cache"
    mv "$fetch/root" "$cache/$kernel"
}

fetch_busybox() {
    mkdir -p "$work/busybox/root"
    (cd "$work/busybox" && apt-get -q download busybox-static >/dev/null 2>&1) ||
        skip "busybox-static cannot be fetched"
    dpkg-deb -x "$work"/busybox/*.deb "$work/busybox/root"
    mkdir -p "$cache"
    mv "$work/busybox/root" "$cache/busybox"
}

# libraries PROGRAM ROOT: what the program is linked with, at the same paths below ROOT
libraries() {
    local library
    while read -r library; do
        [ -e "$2$library" ] || { mkdir -p "$2$(dirname "$library")" && cp -L "$library" "$2$library"; }
    done < <(ldd "$1" 2>/dev/null | grep -o '/[^ ]*')
}
