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
show 0 events
