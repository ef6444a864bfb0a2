#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No shell script has a finding of shellcheck: shell.sh ROOT
set -u
cd "$1" || exit 1
command -v shellcheck >/dev/null || {
    echo "shellcheck is missing"
    exit 77
}
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard |
    while read -r f; do
        [ -f "$f" ] && head -n 1 "$f" 2>/dev/null | tr -d '\0' | grep -qE '^#!.*\b(ba|da)?sh\b' && echo "$f"
    done)
[ ${#scripts[@]} -gt 0 ] || exit 1
shellcheck --external-sources "${scripts[@]}" || exit 1
echo "${#scripts[@]} scripts"
