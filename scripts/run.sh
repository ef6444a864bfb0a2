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

# show COMMAND…: prints it as one would type it, then runs it
show() {
    printf '\n$ %s\n' "${*//$work/DIR}"
    "$@"
}

# shellcheck disable=SC2016 # it is the sandboxed shell that expands
script='echo "hello from $(id -un), pid $$"; echo "processes here: $(ls /proc | grep -c "^[0-9]")"'
if [ -x "$bin/openshell-agentctl" ]; then
    ctl=("$bin/openshell-agentctl" --address "unix:$work/agent.sock")
    printf '$ openshell-agent serve --listen unix:DIR/agent.sock &\n'
    show "${ctl[@]}" run -- /bin/sh -c "$script"
    exit 0
fi

scripts/setup.sh test
rpc=openshell.agent.v1.SandboxAgent
call() { # METHOD REQUEST
    grpcurl -plaintext -unix -d "$2" "$work/agent.sock" "$rpc/$1"
}
request=$(jq -n --arg script "$script" '{spec: {argv: ["/bin/sh", "-c", $script],
    env: {PATH: "/usr/bin:/bin"}}}')
printf '$ openshell-agent serve --listen unix:DIR/agent.sock &\n'
printf "$ grpcurl -plaintext -unix -d '%s' DIR/agent.sock %s/Spawn\n" "$(jq -c . <<<"$request")" $rpc
spawned=$(call Spawn "$request")
jq -c '{processId, isolation: .isolation | {level, namespaces, seccompProfile, network}}' <<<"$spawned"
process=$(jq -r .processId <<<"$spawned")
printf '$ grpcurl … Attach: what it wrote\n'
call Attach "{\"start\": {\"process_id\": \"$process\", \"follow\": true}}" |
    jq -r 'select(.output) | .output.data | @base64d' | sed 's/^/    /;/^ *$/d'
printf '$ grpcurl … Wait: how it ended\n'
call Wait "{\"process_id\": \"$process\"}" | jq -c '.exit | {reason, usage: .usage.wall}'
