#!/bin/bash
# Runs phases of the plug-in as devstack does: `devstack.sh PHASE...`, each as "MODE PHASE". devstack's helper functions
# that the plug-in uses are defined here, with devstack's arguments; a process is one of this machine in place of a
# systemd unit. The environment has what stack.sh knows: DEST, DATA_DIR, SERVICE_HOST, KEYSTONE_SERVICE_URI, ….
set -o errexit -o pipefail
: "${DEST:?}" "${DATA_DIR:?}" "${RUN_DIR:?}" "${PLUGIN:?}"
STACK_USER=$(id -un)
ENABLED_SERVICES=key
plugin_name=

echo_summary() { echo "== $*"; }
die() { echo "line $1: ${*:2}" >&2; exit 1; }
sudo() { command "$@"; }
define_plugin() { plugin_name=$1; }
enable_service() { for name in "$@"; do is_service_enabled "$name" || ENABLED_SERVICES+=,$name; done; }
is_service_enabled() { [[ ",$ENABLED_SERVICES," == *",$1,"* ]]; }

# run_process SERVICE COMMAND: only for enabled services and absolute paths, and without this shell's environment.
run_process() {
    local service=$1 command=$2
    is_service_enabled "$service" || return 0
    [[ $command == /* ]] || die $LINENO "$service: systemd wants an absolute path: $command"
    # shellcheck disable=SC2086 # systemd splits the command as well
    env -i PATH="$PATH" setsid $command >"$RUN_DIR/$service.log" 2>&1 &
    echo $! >"$RUN_DIR/$service.pid"
}

# stop_process SERVICE
stop_process() {
    local pid
    is_service_enabled "$1" && [ -f "$RUN_DIR/$1.pid" ] || return 0
    pid=$(cat "$RUN_DIR/$1.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 300); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    [ ! -d "/proc/$pid" ] || die $LINENO "$1 does not end"
    rm "$RUN_DIR/$1.pid"
}

# wait_for_service SECONDS URL
wait_for_service() {
    local end=$((SECONDS + $1))
    until curl --silent --fail --output /dev/null "$2"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

# shellcheck source=devstack/settings
source "$PLUGIN/settings"
[ "$plugin_name" = osfaas ] || die $LINENO "settings define no plug-in osfaas"
for phase in "$@"; do
    # shellcheck disable=SC2086 # mode and phase are two words
    set -- $phase
    # shellcheck source=devstack/plugin.sh
    source "$PLUGIN/plugin.sh" "$@"
done
