#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build images from what was built: build.sh [--tag-prefix PREFIX] [agent|agent-debian]...
#
# agent needs the preset static, agent-debian the preset release (make). podman does the work; the
# same tree gives the same image, byte for byte, for agent: times are set to 0 and nothing is fetched.
# $BASE names another Debian for agent-debian.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=localhost/openshell
if [ "${1:-}" = --tag-prefix ]; then
    prefix=$2
    shift 2
fi
[ $# -gt 0 ] || set -- agent agent-debian
version() {
    sed -n 's/^project(openshell-agent VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for image; do
    rm -rf "${work:?}"/*
    extra=()
    case $image in
    agent)
        # Symbols are of no use where no debugger can go.
        strip -s -o "$work/openshell-agent" "${OSA_STATIC_BIN:-build/static/bin}/openshell-agent"
        chmod 0555 "$work/openshell-agent"
        # Beside the image, not in it: there is nothing but the program.
        static=${OSA_STATIC_BIN:-build/static/bin}
        mkdir -p build/images
        SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
        export SOURCE_DATE_EPOCH
        scripts/sbom.py "$work/openshell-agent" --build "${static%/bin}" --version "$(version)" \
            --output build/images/agent.spdx.json --licences build/images/agent.licences.txt
        extra=(--network none)
        ;;
    agent-debian)
        cpack -G DEB -B "$work" --config build/release/CPackConfig.cmake >"$work/log" 2>&1 || {
            cat "$work/log" >&2
            exit 1
        }
        rm -rf "$work/_CPack_Packages" "$work/log"
        extra=(${BASE:+--build-arg "BASE=$BASE"})
        ;;
    *)
        echo "build.sh: there is no image '$image'" >&2
        exit 2
        ;;
    esac
    podman build --quiet --timestamp 0 "${extra[@]}" --file "deploy/images/$image.Containerfile" \
        --tag "$prefix/$image:latest" "$work"
done
