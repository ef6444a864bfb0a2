#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs against a real `boxlite serve` that boots real microVMs, all of it in a guest
# under QEMU, in software: the host's processor needs nothing.
#
#   boxlite.sh 'PROGRAM [ARGUMENT]…' …
#
# The server and its runtime are in the cache, below ~/.cache/openshell-agent/vm/boxlite, where
# scripts/boxlite.sh puts them (make boxlite); without them this is skipped. Exit status as run.sh's.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent/vm
boot_seconds=${OSA_VM_SECONDS:-600}
# On two free cores all of it takes a third of this; what fails after it failed for want of time.
slow_seconds=400
kernel=debian

skip() {
    echo "skipped: $*"
    exit 77
}

for tool in qemu-system-x86_64 cpio gzip dpkg-deb apt-get ldd mke2fs python3; do
    command -v "$tool" >/dev/null || skip "$tool is not installed (scripts/setup.sh test)"
done
[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64 only"
[ "$(id -u)" = 0 ] || skip "only root makes a file system whose files are root's"
server=$cache/boxlite
[ -x "$server/boxlite" ] || skip "$server has no BoxLite server (make boxlite builds it)"

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

root=$work/root
mkdir -p "$root"/{dev,proc,sys,tmp,tests,etc,var/tmp,run,root,opt,work} \
    "$root"/usr/{bin,sbin,lib,lib64} "$root/usr/lib/modules"
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
cp "$busybox" "$root/bin/busybox"
while read -r applet; do
    [ -e "$root/$applet" ] || ln -sr "$root/bin/busybox" "$root/$applet"
done < <("$busybox" --list-full)
printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
cp -r "$modules" "$root/usr/lib/modules/"
"$busybox" depmod -b "$root" "$release" 2>/dev/null || true
cp "$server/boxlite" "$root/usr/bin/boxlite"
cp -a "$server/runtime" "$root/opt/runtime"
for program in "$server/boxlite" "$server"/runtime/*; do libraries "$program" "$root"; done
python3 "$(dirname "$0")/layout.py" "$busybox" "$root/work/layout"

declare -a names
for command in "$@"; do
    program=${command%% *}
    names+=("$(basename "$program")${command#"$program"}")
    cp "$program" "$root/tests/"
    libraries "$program" "$root"
done

{
    cat <<'EOF'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root LANG=C
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run; mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in kvm kvm_amd kvm_intel tun fuse loop overlay; do modprobe "$module" 2>/dev/null; done
ip link set lo up
export OSA_BOXLITE_SERVE=/usr/bin/boxlite OSA_BOXLITE_SERVE_ENV=BOXLITE_RUNTIME_DIR=/opt/runtime
export OSA_BOXLITE_IMAGE=/work/layout TMPDIR=/var/tmp
echo "vm: begins after $(cut -d' ' -f1 /proc/uptime) s"
EOF
    for name in "${names[@]}"; do
        printf 'echo "vm: run %s"; "/tests/%s" %s </dev/null; echo "vm: %s ended with $?"; %s\n' \
            "$name" "${name%% *}" "${name#"${name%% *}"}" "$name" \
            "echo \"vm: after \$(cut -d' ' -f1 /proc/uptime) s\""
    done
    echo 'tail -n 40 /tmp/osa-boxlite-*/boxlite-serve.log 2>/dev/null; poweroff -f'
} >"$root/tests/all"
chmod 755 "$root/tests/all"
mke2fs -q -t ext4 -d "$root" "$work/disk" 5G

# add_module PATH: with those that it depends on before it
add_module() {
    local name needed
    name=$(basename "$1")
    [ ! -e "$first/modules/$name" ] || return 0
    # shellcheck disable=SC2013 # words of one line
    for needed in $(sed -n "s|^${1#"$modules/"}:||p" "$root/usr/lib/modules/$release/modules.dep"); do add_module "$modules/$needed"; done
    cp "$1" "$first/modules/"
    echo "$name" >>"$first/modules/order"
}

# The first root only finds the disk.
first=$work/first
mkdir -p "$first"/{bin,dev,proc,mnt,modules}
cp "$busybox" "$first/bin/busybox"
for module in virtio_pci virtio_blk ext4 crc32c_generic; do
    path=$(find "$modules" -name "$module.ko" | head -n 1)
    [ -n "$path" ] && add_module "$path"
done
cat >"$first/init" <<'EOF'
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev; $busybox mount -t proc proc /proc
while read -r module; do $busybox insmod "/modules/$module"; done </modules/order
while [ ! -e /dev/vda ]; do $busybox sleep 0.1; done
$busybox mount -t ext4 /dev/vda /mnt
$busybox mount -t devtmpfs dev /mnt/dev
exec $busybox switch_root /mnt /tests/all
EOF
chmod 755 "$first/init"
(cd "$first" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

run_guest -m 4096 -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -kernel "$image" \
    -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all mitigations=off"
judge_guest
# BoxLite gives a machine 30 s to start, and no more, whatever it runs on.
if [ $status != 0 ] && grep -q 'VM failed to start: timed out' "$work/log"; then
    skip "this machine is too slow, or too busy, to start a microVM in BoxLite's 30 s"
fi
if [ $status != 0 ] && [ $SECONDS -gt $slow_seconds ]; then
    skip "this machine is too slow, or too busy: not done after $SECONDS s"
fi
exit $status
