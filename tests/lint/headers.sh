#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone, as C17 and without a warning: headers.sh ROOT GENERATED_DIR
set -u
cd "$1" || exit 1
read -ra cflags < <(pkg-config --cflags libprotobuf-c grpc libseccomp libnl-3.0 libnl-route-3.0 yaml-0.1 jansson)
mapfile -t headers < <(git ls-files --cached --others --exclude-standard 'src/*.h' 'tests/*.h' 'bench/*.h')
[ ${#headers[@]} -gt 0 ] || exit 1
status=0
for header in "${headers[@]}"; do
    [ -e "$header" ] || continue
    printf '#include "%s"\n#include "%s"\nint main(void) { return 0; }\n' "$PWD/$header" "$PWD/$header" |
        "${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -fsyntax-only \
            -Isrc -Itests -isystem "$2" "${cflags[@]}" -x c - || {
        echo "$header does not compile alone"
        status=1
    }
done
echo "${#headers[@]} headers"
exit $status
