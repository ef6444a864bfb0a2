#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is too long for `make test`: nightly.sh
#
#   races   each tried OSA_RACE_ROUNDS times (100,000), at each level of isolation
#   guests  every test of the label vm, NIGHTLY_GUEST_RUNS times (3), for what fails now and then
#   runs    of openshell-sandbox, OSA_SUPERVISOR_RUNS (10,000) with and without a gateway
#   fuzz    each target for FUZZ_SECONDS (600)
#
# Goes on after a failure; exit status 1 when there was one.
set -euo pipefail
cd "$(dirname "$0")/.."
export OSA_RACE_ROUNDS=${OSA_RACE_ROUNDS:-100000}
failed=0

title() { printf '\n== %s (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# try PROGRAM [ARGUMENT]…: 77 is a skip
try() {
    local status=0
    "$@" || status=$?
    [ $status = 0 ] || [ $status = 77 ] || {
        echo "FAILED: $*"
        failed=1
    }
}

scripts/setup.sh test
make --no-print-directory preset-release
for level in full rootless restricted; do
    title "races, $level, $OSA_RACE_ROUNDS rounds"
    try build/release/tests/test_race_process_races $level
    try build/release/tests/test_integration_attack $level
done
unset OSA_RACE_ROUNDS
for run in $(seq "${NIGHTLY_GUEST_RUNS:-3}"); do
    title "guests, run $run"
    try ctest --test-dir build/release --label-regex '^vm$' --output-on-failure
done
title "supervisor, ${OSA_SUPERVISOR_RUNS:-10000} runs"
try env OSA_SUPERVISOR_RUNS="${OSA_SUPERVISOR_RUNS:-10000}" OSA_BIN="$PWD/build/release/bin" \
    OSA_SOURCE="$PWD" /usr/bin/python3 tests/e2e/supervisor.py Runs
title "fuzz, ${FUZZ_SECONDS:-600} s for each target"
try make --no-print-directory fuzz "FUZZ_SECONDS=${FUZZ_SECONDS:-600}"
exit $failed
