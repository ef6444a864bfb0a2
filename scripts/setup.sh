#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install what the project needs: setup.sh [build|test|bench]  (default: build)
#
#   build   compiler, libraries and code generators: enough for `make` and `make run`
#   test    and what `make test` needs: cmocka, linters, workloads, grpcurl, a Python gRPC client
#   bench   and the programs that `make bench` compares with
#
# Debian 12 or a relative; root, or a user with sudo. Says nothing and touches no network when all
# is there. Tools that Debian does not carry go to $OPENSHELL_TOOLS (default:
# ~/.cache/openshell-agent), never into the tree or the system.
set -euo pipefail

level=${1:-build}
tools=${OPENSHELL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/openshell-agent}
grpcurl_version=v1.9.4
ghz_version=v0.121.0
ziglang_version=0.17.1
grpcio_version=1.76.0
opa_version=v1.9.0
helm_version=v3.16.4
kubernetes_validate_version=1.37.0
# grpcurl's go.mod asks for 1.25; older Go commands fetch this one as the module that it is.
go_version=1.25.0

build_packages=(
    build-essential cmake ninja-build pkg-config ccache
    python3 python3-protobuf protobuf-compiler protobuf-c-compiler libprotobuf-dev
    libprotobuf-c-dev libgrpc-dev libssl-dev libc-ares-dev libnghttp2-dev zlib1g-dev
    libseccomp-dev libnl-3-dev
    libyaml-dev libjansson-dev libssh-dev uthash-dev libcmocka-dev
    libcurl4-openssl-dev libwslay-dev node-llhttp
)
test_packages=(
    clang clang-format clang-tidy libclang-rt-dev shellcheck python3-venv
    ca-certificates debootstrap git groff-base iproute2 jq openssh-client openssl procps strace
    systemd util-linux e2fsprogs skopeo umoci busybox-static musl-tools
    podman runc netavark aardvark-dns iptables catatonit
    cpio qemu-system-x86 xz-utils
)
bench_packages=(libgrpc++-dev protobuf-compiler-grpc bubblewrap runc crun squid-openssl)

case $level in
build) packages=("${build_packages[@]}") ;;
test) packages=("${build_packages[@]}" "${test_packages[@]}") ;;
bench) packages=("${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
*)
    sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    say "$@"
    exit 1
}

# Runs a command and shows its output only when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# Prints those of its arguments that dpkg does not have installed.
missing_packages() {
    local installed package
    # dpkg-query fails for a package that it never heard of, and still prints the others.
    installed=$({ dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null || true; } |
        sed -n 's/^ii *//p')
    for package; do
        grep -qxF -- "$package" <<<"$installed" || printf '%s\n' "$package"
    done
}

install_packages() {
    local missing list
    # Not by process substitution, which would hide a failure.
    list=$(missing_packages "$@")
    [ -n "$list" ] || return 0
    mapfile -t missing <<<"$list"
    command -v apt-get >/dev/null || die "needs these Debian packages: ${missing[*]}"
    say "installing ${missing[*]}"
    quietly as_root apt-get update -qq || say "apt-get update failed; trying with the lists at hand"
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
        die "apt-get could not install: ${missing[*]}"
}

# Leaves in $go a Go command that is new enough, or makes one from the toolchain module.
find_go() {
    local minor
    command -v go >/dev/null || install_packages golang-go
    go=$(command -v go)
    minor=$(go version | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    # From 1.21 on, go fetches the toolchain that a module asks for by itself.
    [ "${minor:-0}" -lt 21 ] || return 0
    local arch module dir
    arch=$(go env GOARCH)
    module=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
    quietly go mod download "$module" || die "the Go module proxy did not serve $module"
    dir=$(go env GOMODCACHE)/$module
    chmod -R u+w "$dir"
    chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
    go=$dir/bin/go
}

# go_tool NAME PACKAGE VERSION
go_tool() {
    [ ! -e "$tools/bin/$1-$3" ] || return 0
    unset GOROOT
    export GOPATH=$tools/go GOFLAGS=-buildvcs=false
    [ -n "${go:-}" ] || find_go
    say "building $1 $3"
    GOBIN=$tools/go-bin quietly "$go" install -trimpath "$2@$3" || die "go install $2@$3 failed"
    mkdir -p "$tools/bin"
    mv "$tools/go-bin/$1" "$tools/bin/$1-$3"
    ln -sfn "$1-$3" "$tools/bin/$1"
}

# The C compiler in this package carries the headers of other systems' C libraries.
zig_compiler() {
    local venv=$tools/zig-$ziglang_version
    if [ ! -e "$venv/.complete" ]; then
        say "installing ziglang $ziglang_version"
        rm -rf "$venv"
        /usr/bin/python3 -m venv "$venv"
        quietly "$venv/bin/pip" install --disable-pip-version-check --only-binary :all: \
            "ziglang==$ziglang_version" || die "pip could not install ziglang $ziglang_version"
        touch "$venv/.complete"
    fi
    ln -sfn "zig-$ziglang_version" "$tools/zig"
}

python_client() {
    local venv=$tools/python-$grpcio_version-$kubernetes_validate_version
    if [ ! -e "$venv/.complete" ]; then
        say "installing grpcio $grpcio_version"
        rm -rf "$venv"
        /usr/bin/python3 -m venv "$venv"
        quietly "$venv/bin/pip" install --disable-pip-version-check --only-binary :all: \
            "grpcio==$grpcio_version" "grpcio-tools==$grpcio_version" \
            "kubernetes-validate==$kubernetes_validate_version" ||
            die "pip could not install grpcio $grpcio_version and kubernetes-validate"
        touch "$venv/.complete"
    fi
    ln -sfn "${venv##*/}" "$tools/python"
}

install_packages "${packages[@]}"
if [ "$level" != build ]; then
    go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl $grpcurl_version
    go_tool helm helm.sh/helm/v3/cmd/helm $helm_version
    go_tool opa github.com/open-policy-agent/opa $opa_version
    python_client
    zig_compiler
fi
if [ "$level" = bench ]; then
    go_tool ghz github.com/bojand/ghz/cmd/ghz $ghz_version
fi
# What the builds left behind is only worth its space while something is still to be built.
if [ -d "$tools/go" ]; then
    chmod -R u+w "$tools/go" && rm -rf "$tools/go" "$tools/go-bin"
fi
