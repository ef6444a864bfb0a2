# shellcheck shell=bash disable=SC2154,SC2034 # what is taken and given
# SPDX-License-Identifier: Apache-2.0
# A guest under QEMU, in software, and what its programs came to; sourced. Takes: work (a temporary folder),
# boot_seconds, names (of the programs, as the guest says them).

boot() {
    timeout "$boot_seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -nodefaults \
        -display none -no-reboot -serial "file:$work/console" "$@" </dev/null || true
}

# run_guest ARGUMENT…: of QEMU. What the guest says is shown, and left in $work/log.
run_guest() {
    boot "$@"
    # A kernel that changes its own code (int3 first, then the rest) trips over it now and then on emulated
    # CPUs that run at once. That is the emulator's fault, told, and tried once more.
    if grep -q 'Oops: int3' "$work/console"; then
        echo "vm: the guest's kernel fell over its own int3; once more"
        boot "$@"
    fi
    tr -d '\r' <"$work/console" >"$work/log"
    cat "$work/log"
}

# judge_guest: sets status to 1 when a program did not end with 0 or, skipped, with 77
judge_guest() {
    local name said line
    status=0
    for name in "${names[@]}"; do
        said=
        while IFS= read -r line; do
            [[ $line != *"vm: $name ended with "* ]] || said+=${line##*"vm: $name ended with "}
        done <"$work/log"
        case $said in
        0) ;;
        77) echo "skipped in the guest: $name" ;;
        *)
            echo "FAILED in the guest: $name"
            status=1
            ;;
        esac
    done
}
