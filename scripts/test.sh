#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every test, in the builds that they are for: test.sh
#
#   dev           ASan and UBSan: unit, lint, integration, and the fuzz corpora once through
#   tsan          TSan: unit, and the process backend on the agent's side
#   process-only  must build
#   static        must build; the end-to-end tests use its programs
#   release       unit, integration, race and e2e, with what people run; vm, the same on other kernels
#   fuzz          clang, a bounded number of runs for each target
#
# A build that fails ends it; a test that fails does not. docs/testing.md has the time budget.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
mkdir -p build
rm -rf build/results && mkdir build/results
failed=0

title() { printf '\n== %s (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

build() {
    title "build $1"
    make --no-print-directory "preset-$1"
}

# run PRESET LABELS: the labels are joined by '|'
run() {
    title "test $1: $2"
    ctest --test-dir "build/$1" --label-regex "^($2)\$" --parallel "$(nproc)" \
        --output-on-failure --no-tests=error --test-output-size-passed 262144 \
        --output-junit "$PWD/build/results/$1.xml" | grep -v '^ *Start ' || failed=1
}

build dev
run dev 'unit|lint|portable|integration|fuzz'
build tsan
run tsan 'unit|tsan'
build process-only
build static
build release
run release 'unit|integration|race|e2e|vm'
build fuzz
run fuzz fuzz

title "all"
/usr/bin/python3 scripts/test-report.py build/results/*.xml || failed=1
exit $failed
