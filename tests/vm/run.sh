#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs in a guest under QEMU, in software: another kernel, and cgroup v2 alone.
#
#   run.sh KERNEL 'PROGRAM [ARGUMENT]…' …
#
#   KERNEL   debian      this Debian's own kernel
#            backports   the next Debian's newest one, with the kernel's audit switched on
#
# Kernel and busybox come from Debian's packages and are kept in the cache, below
# ~/.cache/openshell-agent/vm; the initramfs is made anew from them and the programs. A program that
# exits 77 has skipped itself, which is told and counts as passed. Exit status: 0 all passed, 1 one
# failed, 77 something is missing here.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent/vm
boot_seconds=${OSA_VM_SECONDS:-280}
key=/usr/share/keyrings/debian-archive-keyring.gpg
backports='http://deb.debian.org/debian trixie-backports main'

skip() {
    echo "skipped: $*"
    exit 77
}

kernel=${1:-}
case $kernel in
debian) options= ;;
backports) options='audit=1 lsm=landlock' ;;
*)
    sed -n '5,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
shift
for tool in qemu-system-x86_64 cpio gzip unxz dpkg-deb apt-get ldd; do
    command -v "$tool" >/dev/null || skip "$tool is not installed (scripts/setup.sh test)"
done
[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64 only"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/vm/fetch.sh
. "$(dirname "$0")/fetch.sh"
# shellcheck source=tests/vm/guest.sh
. "$(dirname "$0")/guest.sh"

[ -e "$cache/$kernel" ] || fetch_kernel
[ -e "$cache/busybox" ] || fetch_busybox
busybox=$cache/busybox/bin/busybox
image=$(find "$cache/$kernel" -name 'vmlinuz*' -type f | head -n 1)
modules=$(find "$cache/$kernel" -path '*/lib/modules/*' -prune -type d | head -n 1)
release=$(basename "$modules")

# A root as Debian has it: everything below /usr.
root=$work/root
mkdir -p "$root"/{dev,proc,sys,tmp,tests,etc,var/tmp,run} \
    "$root"/usr/{bin,sbin,lib,lib64} "$root/usr/lib/modules/$release"
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
cp "$busybox" "$root/bin/busybox"
# Relative links: what is written here through one stays in here.
while read -r applet; do
    [ -e "$root/$applet" ] || ln -sr "$root/bin/busybox" "$root/$applet"
done < <("$busybox" --list-full)
printf 'root:x:0:0::/:/bin/sh\ngames:x:5:60::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$root/etc/passwd"
printf 'root:x:0:\ntape:x:26:\ngames:x:60:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'NAME=guest\n' >"$root/usr/lib/os-release"

# Only the modules that the tests can need; depmod is busybox's own.
for path in kernel/net/netfilter kernel/net/ipv4/netfilter kernel/net/ipv6/netfilter \
    kernel/drivers/net/veth.ko kernel/lib/libcrc32c.ko kernel/crypto/crc32c_generic.ko \
    kernel/lib/crc kernel/drivers/net/veth.ko.xz; do
    [ -e "$modules/$path" ] || continue
    mkdir -p "$root/lib/modules/$release/$(dirname "$path")"
    cp -r "$modules/$path" "$root/lib/modules/$release/$(dirname "$path")/"
done
find "$root/lib/modules/$release" -name '*.ko.xz' -exec unxz '{}' +
find "$modules" -maxdepth 1 -name 'modules.*' -exec cp '{}' "$root/lib/modules/$release/" ';'
"$busybox" depmod -b "$root" "$release" 2>/dev/null || true

declare -a names
for command in "$@"; do
    program=${command%% *}
    name=$(basename "$program")
    names+=("$(basename "$program")${command#"$program"}")
    cp "$program" "$root/tests/$name"
    # The attacks' program stands beside its tests.
    case $name in *attack | *denials) cp "$(dirname "$program")/attacker" "$root/tests/" ;; esac
    libraries "$program" "$root"
done

{
    echo '#!/bin/sh'
    echo 'export PATH=/usr/sbin:/usr/bin HOME=/ LANG=C OSA_EMULATED=1'
    printf 'mount -t %s\n' 'proc proc /proc' 'sysfs sysfs /sys' 'devtmpfs dev /dev' \
        'cgroup2 cgroup2 /sys/fs/cgroup' 'tmpfs -o mode=1777 tmpfs /tmp'
    echo 'mkdir -p /dev/pts /dev/shm && mount -t devpts devpts /dev/pts && mount -t tmpfs shm /dev/shm'
    echo 'chmod 1777 /var/tmp; ip link set lo up; ulimit -c 0'
    for name in "${names[@]}"; do
        printf 'echo "vm: run %s"; "/tests/%s" %s </dev/null; echo "vm: %s ended with $?"\n' "$name" \
            "${name%% *}" "${name#"${name%% *}"}" "$name"
    done
    echo 'poweroff -f'
} >"$root/tests/all"
# pivot_root(2) refuses to leave an initramfs before Linux 7, so the guest moves to another root first.
cat >"$root/init" <<'EOF'
#!/bin/sh
mkdir /root.new && mount -t tmpfs -o mode=755 root /root.new
for folder in /[a-z]*; do
    case $folder in /root.new|/proc|/sys|/dev) ;; *) cp -a "$folder" /root.new/ ;; esac
done
mkdir -p /root.new/proc /root.new/sys /root.new/dev
exec switch_root /root.new /tests/all
EOF
chmod 755 "$root/init" "$root/tests/all"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

renice -n 10 -p $$ >/dev/null
run_guest -m 1536 -kernel "$image" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all $options"
judge_guest
exit $status
