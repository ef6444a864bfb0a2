#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Cross-build for arm64 and run the unit tests under qemu-user: arm64.sh [BUILD-DIRECTORY]
#
# Needs root and a Debian mirror. The compiler and arm64's libraries live in a Debian tree of their own,
# made once beside the other tools, so that nothing foreign is installed here; what is built goes to
# build/arm64 (static programs in bin/). qemu-user knows neither seccomp nor Landlock nor namespaces of
# arm64: what confines sandboxes is compiled and not tried there.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
build=$(mkdir -p "${1:-$source/build/arm64}" && cd "${1:-$source/build/arm64}" && pwd)
tools=${OPENSHELL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent}
tree=$tools/debian-12-arm64-cross
cache=$tools/ccache-arm64

if [ "$(id -u)" != 0 ]; then
    echo "arm64.sh: needs root, to make and enter a Debian tree" >&2
    exit 77
fi

# Everything in a mount namespace of its own; "$@" runs in the tree as a command line of bash.
inside() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare -m bash -c '
        set -e
        tree=$1 source=$2 build=$3 cache=$4
        mount --make-rprivate /
        mount --bind "$tree" "$tree"
        mkdir -p "$tree"/{src,out,ccache}
        mount --bind -o ro "$source" "$tree/src"
        mount --bind "$build" "$tree/out"
        mount --bind "$cache" "$tree/ccache"
        mount -t proc proc "$tree/proc"
        mount --rbind /dev "$tree/dev"
        mount -t tmpfs tmpfs "$tree/tmp"
        cp /etc/resolv.conf "$tree/etc/resolv.conf"
        echo "127.0.0.1 localhost" >"$tree/etc/hosts"
        exec chroot "$tree" /usr/bin/env -i PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive CCACHE_DIR=/ccache \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            bash -c "$5"' enter "$tree" "$source" "$build" "$cache" "$1"
}

packages="ccache cmake ninja-build pkg-config python3 python3-protobuf qemu-user-static
    crossbuild-essential-arm64 protobuf-compiler protobuf-c-compiler libprotobuf-dev
    libprotobuf-c-dev:arm64 libgrpc-dev:arm64 libssl-dev:arm64 libc-ares-dev:arm64 zlib1g-dev:arm64
    libseccomp-dev:arm64 libnl-3-dev:arm64 libyaml-dev:arm64 libjansson-dev:arm64 libssh-dev:arm64
    libnghttp2-dev:arm64 libcmocka-dev:arm64 uthash-dev node-llhttp"

mkdir -p "$cache"
if [ ! -e "$tree/etc/debian_version" ]; then
    rm -rf "${tree:?}" "${tree:?}.new"
    echo "arm64: making the tree" >&2
    debootstrap --variant=minbase bookworm "$tree.new" >"$build/tree.log" 2>&1 || {
        tail -n 5 "$build/tree.log" >&2
        exit 77
    }
    mv "$tree.new" "$tree"
fi
if [ "$(cat "$tree/made" 2>/dev/null)" != "$packages" ]; then
    inside "
        set -e
        dpkg --add-architecture arm64
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends $(tr '\n' ' ' <<<"$packages")" >"$build/tree.log" 2>&1 || {
        tail -n 20 "$build/tree.log" >&2
        exit 1
    }
    printf '%s\n' "$packages" >"$tree/made"
fi

jobs=${JOBS:-$(nproc)}
inside "
    set -e
    cmake -S /src -B /out -G Ninja -DCMAKE_TOOLCHAIN_FILE=/src/cmake/arm64.cmake \
        -DCMAKE_BUILD_TYPE=Release -DOSA_STATIC=ON -DOSA_TESTS=ON -DOSA_WERROR=OFF >/out/configure.log
    cmake --build /out -j $jobs >/out/build.log
    file=\$(od -An -tx1 -j18 -N2 /out/bin/openshell-agent | tr -d ' ')
    [ \"\$file\" = b700 ] # EM_AARCH64
" || {
    tail -n 40 "$build/build.log" >&2
    exit 1
}
# unit.base.child: to qemu-user a vfork is a fork, and a failed exec is not told. Twice, for floods of
# connections outrun an emulator on a busy machine.
inside "ctest --test-dir /out -L unit -E '^unit.base.child\$' --repeat until-pass:2 --output-on-failure -j $jobs"
