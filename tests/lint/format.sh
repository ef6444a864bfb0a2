#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The C sources are as clang-format 14 writes them: format.sh ROOT
set -u
cd "$1" || exit 1
command -v clang-format-14 >/dev/null || {
    echo "clang-format-14 is missing"
    exit 77
}
mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' |
    while read -r f; do [ ! -e "$f" ] || echo "$f"; done)
[ ${#sources[@]} -gt 0 ] || exit 1
clang-format-14 --dry-run --Werror -ferror-limit=1 "${sources[@]}" || {
    echo "run: make fmt"
    exit 1
}
echo "${#sources[@]} files"
