#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs test programs in a Debian guest with pure cgroup v2 and another kernel, under QEMU in software.
#
#   run.sh PROGRAM…
#
# The kernel and busybox come from Debian's packages and are kept in the cache; the initramfs is made
# anew from them and the programs. Exit status: 0 all passed, 1 one failed, 77 something is missing.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent/vm
boot_seconds=${OSA_VM_SECONDS:-240}

skip() { echo "skipped: $*" >&2; exit 77; }

[ $# -gt 0 ] || { echo "usage: $0 PROGRAM…" >&2; exit 2; }
for tool in qemu-system-x86_64 cpio gzip dpkg-deb apt-get ldd; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64 only"

# Once: the packages, unpacked. The folder appears whole or not at all.
if [ ! -e "$cache/root/boot" ]; then
    mkdir -p "$cache"
    fetch=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$fetch"' EXIT
    kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: *//p' | head -n 1)
    [ -n "$kernel" ] || skip "no linux-image package is known here (apt-get update?)"
    (cd "$fetch" && apt-get -qq download "$kernel" busybox-static >/dev/null 2>&1) ||
        skip "$kernel and busybox-static cannot be fetched"
    mkdir "$fetch/root"
    for deb in "$fetch"/*.deb; do dpkg-deb -x "$deb" "$fetch/root"; done
    mv "$fetch/root" "$cache/root"
    rm -rf "$fetch"
fi
kernel=$(ls "$cache"/root/boot/vmlinuz-*)
release=${kernel##*/vmlinuz-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/sbin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/tests" \
    "$root/lib64" "$root/lib/modules/$release"
cp "$cache/root/bin/busybox" "$root/bin/busybox"
for applet in sh mount modprobe poweroff cat; do ln -s /bin/busybox "$root/bin/$applet"; done
ln -s /bin/busybox "$root/sbin/modprobe"

# Only the modules that the tests can need; depmod is busybox's own.
modules=$cache/root/lib/modules/$release
for path in kernel/net/netfilter kernel/net/ipv4/netfilter kernel/net/ipv6/netfilter \
    kernel/drivers/net/veth.ko kernel/lib/libcrc32c.ko kernel/crypto/crc32c_generic.ko; do
    [ -e "$modules/$path" ] || continue
    mkdir -p "$root/lib/modules/$release/$(dirname "$path")"
    cp -r "$modules/$path" "$root/lib/modules/$release/$(dirname "$path")/"
done
cp "$modules"/modules.builtin "$modules"/modules.order "$root/lib/modules/$release/" 2>/dev/null || true
"$cache/root/bin/busybox" depmod -b "$root" "$release" 2>/dev/null || true

copy_library() {
    [ -e "$root$1" ] && return
    mkdir -p "$root$(dirname "$1")"
    cp -L "$1" "$root$1"
}
names=
for program in "$@"; do
    name=$(basename "$program")
    names="$names $name"
    cp "$program" "$root/tests/$name"
    for library in $(ldd "$program" | grep -o '/[^ ]*'); do copy_library "$library"; done
done

cat >"$root/init" <<EOF
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
for name in $names; do
    echo "vm: run \$name"
    "/tests/\$name" </dev/null
    echo "vm: \$name ended with \$?"
done
poweroff -f
EOF
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

timeout "$boot_seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
    -nodefaults -display none -no-reboot -serial "file:$work/console" \
    -kernel "$kernel" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all" </dev/null || true
tr -d '\r' <"$work/console"

status=0
for name in $names; do
    case $(tr -d '\r' <"$work/console" | sed -n "s/^vm: $name ended with //p") in
    0) ;;
    *)
        echo "FAILED in the guest: $name" >&2
        status=1
        ;;
    esac
done
exit $status
