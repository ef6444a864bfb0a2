#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Start the agent that `make` built, run a command through it, show both, and stop it again.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/release/bin
work=$(mktemp -d)
"$bin/openshell-agent" serve --listen "unix:$work/agent.sock" --state-dir "$work/state" \
    --log-level warn 2>"$work/log" &
agent=$!
stop() {
    kill "$agent" 2>/dev/null || true
    wait "$agent" 2>/dev/null || true
    cat "$work/log" >&2
    rm -rf "$work"
}
trap stop EXIT
for _ in {1..100}; do
    [ ! -S "$work/agent.sock" ] || break
    kill -0 "$agent" 2>/dev/null || exit 1
    sleep 0.05
done

# show STATUS COMMAND…: prints the command as one would type it, runs it, and insists on its exit status
show() {
    local expected=$1 status=0
    shift
    printf '\n$ openshell-agentctl'
    for word; do
        case $word in *[!A-Za-z0-9/.-]*) printf ' %s' "${word@Q}" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$bin/openshell-agentctl" --address "unix:$work/agent.sock" "$@" || status=$?
    [ "$status" -eq 0 ] || printf '(exit status %d)\n' "$status"
    [ "$status" -eq "$expected" ]
}

# shellcheck disable=SC2016 # it is the sandboxed shell that expands
script='echo "hello from $(id -un), pid $$"; echo "processes here: $(ls /proc | grep -c "^[0-9]")"'
printf '$ openshell-agent serve --listen unix:DIR/agent.sock &\n'
show 0 run -- /bin/sh -c "$script"
show 1 run -- /bin/cat /etc/shadow
show 2 run -- /bin/sh -c 'echo changed > /etc/hostname'
show 124 run --timeout 200ms -- /bin/sleep 60
show 3 run -- /bin/sh -c 'exit 3'
# A system call that the filter refuses, and what the events say of it.
show 1 run -- /usr/bin/unshare --user /bin/true

# The way out: an origin on this machine, and a policy that lets one program ask for some of it. Loopback
# is out of a sandbox's reach whatever a policy says, so the origin listens on another address.
address=$(ip -4 -o addr show scope global up 2>/dev/null | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | head -n 1)
if [ -z "$address" ]; then
    printf '\n(this machine has no IPv4 address but loopback: the part about network policies is left out)\n'
else
    mkdir -p "$work/origin/v1"
    echo "the data" >"$work/origin/v1/data"
    echo "the secret" >"$work/origin/v1/secret"
    python3 -u -m http.server --bind "$address" --directory "$work/origin" 0 >"$work/origin.log" 2>&1 &
    origin=$!
    for _ in {1..100}; do
        port=$(sed -n 's/^Serving HTTP on .* port \([0-9]*\) .*/\1/p' "$work/origin.log")
        [ -z "$port" ] || break
        sleep 0.05
    done
    cat >"$work/policy.yaml" <<EOF
version: 1
filesystem_policy: {read_only: [/usr, /lib, /lib64, /bin, /etc], read_write: [/tmp, /dev/null]}
network_policies:
  data:
    endpoints:
    - host: $address
      ports: [$port]
      protocol: rest
      enforcement: enforce
      rules: [{allow: {method: GET, path: "/v1/**"}}]
      deny_rules: [{method: GET, path: /v1/secret}]
    binaries: [{path: $(realpath /usr/bin/python3)}]
EOF
    printf '\n$ cat policy.yaml\n'
    cat "$work/policy.yaml"
    cd "$work"
    fetch='import sys, urllib.request as r, urllib.error as e
try: print(r.urlopen(sys.argv[1]).read().decode().strip())
except e.HTTPError as x: print(x.code, x.read().decode())'
    show 0 run --policy policy.yaml -- /usr/bin/python3 -c "$fetch" "http://$address:$port/v1/data"
    show 0 run --policy policy.yaml -- /usr/bin/python3 -c "$fetch" "http://$address:$port/v1/secret"
    show 1 policy explain --binary "$(realpath /usr/bin/python3)" policy.yaml "http://$address:$port/v1/secret"
    show 1 policy explain --binary /usr/bin/curl policy.yaml "$address:$port"
    kill "$origin"
fi

show 0 events
