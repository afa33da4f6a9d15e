#!/bin/bash
# Plug-in of devstack: the gateway with a file of tenants and one checksums function, without Kubernetes.
# devstack sources this file with a mode and a phase; docs/how-to/devstack.md shows local.conf.

# shellcheck disable=SC2154 # devstack and `settings` set the variables

# Each package by its hash; the function shares no package with the gateway.
function install_faas {
    sudo install -d -o "$STACK_USER" "$FAAS_VENV" "$FAAS_FUNCTION_VENV"
    python3 -m venv "$FAAS_VENV"
    "$FAAS_VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$FAAS_DIR/requirements.txt"
    "$FAAS_VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        "$FAAS_DIR/distributions/builder" "$FAAS_DIR/distributions/client" "$FAAS_DIR"
    python3 -m venv "$FAAS_FUNCTION_VENV"
    "$FAAS_FUNCTION_VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --requirement "$FAAS_DIR/functions/checksums/constraints.txt"
    "$FAAS_FUNCTION_VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        "$FAAS_DIR/functions/checksums"
}

# Service, endpoints, roles and users; the user of the gateway gets devstack's password for services.
function register_faas {
    "$FAAS_VENV/bin/osfaas" keystone bootstrap --os-region-name "$REGION_NAME" --public-url "$FAAS_URL"
    openstack user set --password "$SERVICE_PASSWORD" osfaas
}

# A program that systemd starts gets no environment of this shell.
function write_faas_launcher {
    local path=$1 command=$2
    {
        echo '#!/bin/bash'
        echo 'set -o allexport'
        cat
        echo 'set +o allexport'
        echo "exec $command"
    } >"$path"
    chmod 0755 "$path"
}

function configure_faas {
    # As YAML has an apostrophe inside of apostrophes.
    local password=${SERVICE_PASSWORD//\'/\'\'}
    sudo install -d -o "$STACK_USER" -m 0755 "$FAAS_CONF_DIR"
    (
        umask 0077
        cat >"$FAAS_CONF_DIR/clouds.yaml" <<CLOUDS
clouds:
  osfaas:
    region_name: $REGION_NAME
    auth:
      auth_url: $KEYSTONE_SERVICE_URI/v3
      username: osfaas
      user_domain_name: Default
      password: '$password'
      project_name: service
      project_domain_name: Default
CLOUDS
    )
    cat >"$FAAS_CONF_DIR/tenants.yaml" <<TENANTS
tenants:
  - project_id: $(openstack project show -f value -c id "$FAAS_PROJECT")
    functions:
      checksums: {url: "http://127.0.0.1:$FAAS_FUNCTION_PORT"}
TENANTS
    write_faas_launcher "$FAAS_CONF_DIR/gateway" "$FAAS_VENV/bin/osfaas serve" <<GATEWAY
OS_CLOUD=osfaas
OS_CLIENT_CONFIG_FILE=$FAAS_CONF_DIR/clouds.yaml
OSFAAS_LISTEN_HOST=${SERVICE_LISTEN_ADDRESS:-0.0.0.0}
OSFAAS_LISTEN_PORT=$FAAS_PORT
OSFAAS_PUBLIC_URL=$FAAS_URL
OSFAAS_TENANTS_FILE=$FAAS_CONF_DIR/tenants.yaml
OSFAAS_STORE_ALLOWLIST=$FAAS_STORE_URL
GATEWAY
    # The function reads objects and nothing else.
    write_faas_launcher "$FAAS_CONF_DIR/function" "$FAAS_FUNCTION_VENV/bin/python -m checksums_function" <<FUNCTION
PORT=$FAAS_FUNCTION_PORT
CHECKSUMS_HOST=127.0.0.1
CHECKSUMS_ALLOWED_SOURCES=${FAAS_STORE_URL#*://}
FUNCTION
}

function start_faas {
    run_process osfaas-function "$FAAS_CONF_DIR/function"
    run_process osfaas-gateway "$FAAS_CONF_DIR/gateway"
    if ! wait_for_service "$SERVICE_TIMEOUT" "$FAAS_URL/healthcheck"; then
        die $LINENO "the gateway of osfaas did not start: journalctl --unit devstack@osfaas-gateway"
    fi
}

function stop_faas {
    stop_process osfaas-gateway
    stop_process osfaas-function
}

# Keystone's part goes with devstack's database.
function cleanup_faas {
    sudo rm -rf "$FAAS_VENV" "$FAAS_FUNCTION_VENV" "$FAAS_CONF_DIR"
}

if is_service_enabled osfaas-gateway; then
    case "$1 ${2:-}" in
        "stack install")
            echo_summary "Installing osfaas"
            install_faas
            ;;
        "stack post-config")
            echo_summary "Configuring osfaas"
            register_faas
            configure_faas
            ;;
        "stack extra")
            echo_summary "Starting osfaas"
            start_faas
            ;;
        "unstack "*)
            stop_faas
            ;;
        "clean "*)
            cleanup_faas
            ;;
    esac
fi
