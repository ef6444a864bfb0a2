#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzz every target of build/fuzz for a while: fuzz.sh SECONDS
# New inputs go to build/fuzz/corpus/; what crashes stays there as crash-… and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz.sh SECONDS}
shopt -s nullglob
targets=(build/fuzz/tests/fuzz_*)
[ ${#targets[@]} -gt 0 ] || {
    echo "fuzz: no target in build/fuzz/tests; run make fuzz" >&2
    exit 1
}
status=0
for target in "${targets[@]}"; do
    name=${target##*/fuzz_}
    mkdir -p "build/fuzz/corpus/$name"
    seeds=()
    [ ! -d "tests/fuzz/corpus/$name" ] || seeds=("tests/fuzz/corpus/$name")
    printf '%-24s ' "$name"
    log=build/fuzz/$name.log
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
        -artifact_prefix="build/fuzz/corpus/$name/" \
        "build/fuzz/corpus/$name" "${seeds[@]}" >"$log" 2>&1; then
        tail -n 1 "$log"
    else
        status=1
        tail -n 40 "$log"
    fi
done
exit $status
