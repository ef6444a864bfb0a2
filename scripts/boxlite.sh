#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts a real BoxLite server where tests/vm/boxlite.sh finds it: built from crates.io, and its runtime
# (guest agent, kernel, tools) from the wheel on PyPI. Takes cargo and protoc, and some ten minutes.
set -euo pipefail

server_version=0.11.0
runtime_version=0.10.8
target=${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent/vm/boxlite

[ -x "$target/boxlite" ] && exit 0
for tool in cargo protoc python3 strip; do
    PATH=$PATH:$HOME/.cargo/bin command -v "$tool" >/dev/null || {
        echo "$tool is missing, with which BoxLite is built" >&2
        exit 1
    }
done
export PATH=$PATH:$HOME/.cargo/bin

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Importing the wheel unpacks the runtime; it looks for a /dev/kvm on the way.
python3 -m venv "$work/python"
"$work/python/bin/pip" -q install --no-deps "boxlite==$runtime_version"
HOME=$work "$work/python/bin/python" -c 'import boxlite; boxlite.Boxlite.default()' ||
    echo "the runtime could not be started here; its files are what counts" >&2
runtime=$(find "$work/.local/share/boxlite/runtimes" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1)
[ -n "$runtime" ] || {
    echo "the wheel of boxlite $runtime_version has not unpacked its runtime" >&2
    exit 1
}

# A debug build without its own runtime: half the time, and that of the wheel serves.
BOXLITE_DEPS_STUB=1 CARGO_TARGET_DIR=$work/target cargo install -q boxlite-cli --version "$server_version" \
    --locked --debug --root "$work/out"

mkdir -p "$work/new/runtime"
cp -a "$runtime"/. "$work/new/runtime/"
rm -f "$work/new/runtime/.complete"
strip -o "$work/new/boxlite" "$work/out/bin/boxlite"
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$work/new" "$target"
