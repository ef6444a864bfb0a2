#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs in the guest of systemd.py, as a unit, when systemd has booted: what an operator does, and what
# came of it as NAME=VALUE lines on standard output. Ends with the machine.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
unit=openshell-agent.service
restricted=openshell-agent-restricted.service
driver=openshell-driver.service

tell() { echo "systemd_guest: $1" >&2; printf '%s=%s\n' "$1" "$(tr '\n' ' ' <<<"$2" | sed 's/ *$//')"; }
show() { systemctl show --value --property "$2" "$1"; }
# What is awaited comes within seconds; a minute is for an emulator on a busy machine.
until_true() {
    local end=$((SECONDS + 60))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
restarted() { [ "$(show $unit NRestarts)" -ge 1 ]; }
exposure() {
    systemd-analyze security --no-pager "$1" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\) .*/\1/p'
}

depmod
tell booted "$(systemctl is-system-running --wait)"
dpkg -i /package/*.deb >/package/dpkg.log 2>&1
tell installed "$?"
if ! openshell-agent --version >>/package/dpkg.log 2>&1; then
    tr '=' ' ' </package/dpkg.log
    systemctl poweroff --force --force
    exit
fi
echo 'drain_timeout: 3s' >>/etc/openshell-agent/agent.yaml
tell after_install "$(systemctl is-active $unit openshell-agent.socket $restricted)"

# The first client starts the service.
systemctl enable --now --quiet openshell-agent.socket
tell socket "$(systemctl is-active openshell-agent.socket) $(systemctl is-active $unit)"
tell hello "$(openshell-agentctl run -- /bin/echo hello from a sandbox 2>&1)"
tell started "$(systemctl is-active $unit) $(show $unit NotifyAccess) $(show $unit WatchdogUSec)"
tell level "$(openshell-agentctl info --json | grep -o '"level": *"[A-Z_]*"' | sort -u)"
tell limits "$(openshell-agentctl run --memory 48Mi --pids 20 --cpu 0.5 -- /bin/sh -c \
    'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max 2>/dev/null; echo limited' 2>&1)"
# shellcheck disable=SC2016 # the sandbox's shell expands it
tell oom "$(openshell-agentctl run --memory 32Mi -- /bin/sh -c \
    'a=x; while :; do a=$a$a; done' >/package/oom.log 2>&1; echo $?)"
tell hidden "$(openshell-agentctl run -- /bin/ls /var/lib/openshell-agent 2>&1)"
tell exposure_full "$(exposure $unit)"

# A loop that hangs is found out, and nothing of its sandboxes lives on.
mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nWatchdogSec=10s\n' >/run/systemd/system/$unit.d/quick.conf
systemctl daemon-reload
systemctl restart $unit
openshell-agentctl run --detach -- /bin/sleep 77777 >/dev/null
tell sleeping "$(pgrep -c -f 'sleep 77777')"
kill -STOP "$(show $unit MainPID)"
until_true restarted
tell watchdog "$(journalctl -u $unit --no-pager -o cat | grep -o -m 1 'Watchdog timeout')"
until_true openshell-agentctl info
tell after_watchdog "$(systemctl is-active $unit) $(pgrep -c -f 'sleep 77777')"
rm -r /run/systemd/system/$unit.d
systemctl daemon-reload

# A stop drains: what runs may end by itself, and its exit is no failure.
openshell-agentctl run --detach -- /bin/sh -c 'sleep 2; echo done >/tmp/drained' >/dev/null
systemctl stop openshell-agent.socket $unit
tell stopped "$(systemctl is-active $unit) $(show $unit Result) $(show $unit ExecMainStatus)"
tell drain "$(journalctl -u $unit --no-pager -o cat | grep -o -m 1 'draining')"

# Without any privilege.
systemctl disable --now --quiet openshell-agent.socket
systemctl enable --now --quiet openshell-agent-restricted.socket
tell restricted "$(openshell-agentctl run -- /bin/sh -c 'id -un; cat /etc/shadow 2>&1' 2>&1)"
tell restricted_state "$(systemctl is-active $restricted) $(systemctl is-active $unit)"
tell restricted_level "$(openshell-agentctl info --json | grep -o '"level": *"[A-Z_]*"' | sort -u)"
tell exposure_restricted "$(exposure $restricted)"

# The gateway's driver, with what its configuration file has.
systemctl start $driver
tell driver "$(systemctl is-active $driver) $(show $driver StatusText)"
tell driver_socket "$(stat -c '%a %U' /run/openshell-driver/driver.sock /run/openshell-driver)"
tell exposure_driver "$(exposure $driver)"
systemctl restart $driver
tell driver_again "$(systemctl is-active $driver) $(show $driver Result)"

openshell-agentctl run --detach -- /bin/sleep 88888 >/dev/null
dpkg --purge openshell-agent >>/package/dpkg.log 2>&1
tell purged "$?"
tell left "$(find / -xdev -name '*openshell*' -not -path '/proc/*' -not -path '/var/log/*' \
    -not -path '/package/*' | sort)"
tell orphans "$(pgrep -c -f 'sleep 88888')"
tell units_left "$(systemctl list-units --all --plain --no-legend 'openshell*' | awk '{print $1, $3}')"
tell failed_units "$(systemctl --failed --plain --no-legend)"
tell end 1
journalctl -b --no-pager -o short-monotonic >/dev/ttyS0
systemctl poweroff --force --force
