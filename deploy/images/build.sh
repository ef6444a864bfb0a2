#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Build images from what was built: build.sh [--tag-prefix PREFIX] [--arch amd64|arm64] [IMAGE]…
#
#   agent         the static agent and nothing else; preset static
#   supervisor    the same as OpenShell's drivers want it, /openshell-sandbox; preset static
#   driver        the driver and the agent that it starts; preset static
#   agent-debian  agent, BoxLite and client on a small Debian; preset release (make), root, amd64
#
# Without names: the first three. arm64 takes the programs of `make arm64`. podman does the work and nothing
# is fetched, but for agent-debian's Debian the first time. The same tree gives the same images, byte for
# byte: times are those of the commit. Lists of what is inside go to build/images.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=localhost/openshell
arch=amd64
while [[ ${1:-} == --* ]]; do
    case $1 in
    --tag-prefix) prefix=$2 ;;
    --arch) arch=$2 ;;
    *)
        sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
[ $# -gt 0 ] || set -- agent supervisor driver
case $arch in
amd64) bin=${OSA_STATIC_BIN:-build/static/bin} strip=strip ;;
arm64) bin=${OSA_ARM64_BIN:-build/arm64/bin} strip=$(command -v aarch64-linux-gnu-strip || command -v llvm-strip-14 || echo true) ;;
*)
    echo "build.sh: --arch is amd64 or arm64, not '$arch'" >&2
    exit 2
    ;;
esac
version=$(sed -n 's/^project(openshell-agent VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
mkdir -p build/images
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# program NAME [AS]: into the image's root. Symbols are of no use where no debugger can go.
program() {
    local target=$work/root/${2:-$1}
    install -m 0755 "$bin/$1" "$target"
    "$strip" "$target"
    chmod 0555 "$target"
}

# What is inside, beside the image and not in it. Debian's tools know the packages of this machine alone.
sbom() {
    local name=$1
    shift
    [ "$arch" = amd64 ] || return 0
    scripts/sbom.py "$@" --build "${bin%/bin}" --version "$version" \
        --output "build/images/$name.spdx.json" --licences "build/images/$name.licences.txt"
}

for image; do
    rm -rf "${work:?}"/*
    mkdir "$work/root"
    case $image in
    agent)
        program openshell-agent
        sbom "$image" "$work/root/openshell-agent"
        ;;
    supervisor)
        program openshell-agent openshell-sandbox
        ;;
    driver)
        program openshell-driver
        program openshell-agent
        sbom "$image" "$work/root/openshell-driver" "$work/root/openshell-agent"
        ;;
    agent-debian)
        [ "$arch" = amd64 ] || {
            echo "build.sh: agent-debian is made for this machine's architecture only" >&2
            exit 2
        }
        cpack -G DEB -B "$work" --config "${OSA_RELEASE:-build/release}/CPackConfig.cmake" >"$work/log" 2>&1 || {
            cat "$work/log" >&2
            exit 1
        }
        deploy/images/debian-root.sh "$work"/*.deb "$work/root.tar"
        rm -rf "$work"/{_CPack_Packages,log,root,*.deb}
        ;;
    *)
        echo "build.sh: there is no image '$image'" >&2
        exit 2
        ;;
    esac
    podman build --quiet --timestamp "$SOURCE_DATE_EPOCH" --platform "linux/$arch" --network none \
        --label "org.opencontainers.image.version=$version" \
        --file "deploy/images/$image.Containerfile" --tag "$prefix/$image:latest" "$work"
done
