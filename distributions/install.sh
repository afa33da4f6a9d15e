#!/usr/bin/env bash
# Builds the distributions of the checkout (build.sh), and installs each of those that are named (default: all) into an
# environment of its own, DIR/NAME, which has nothing else.
#
#     install.sh DIR [client|builder|gateway ...]
set -euo pipefail
dir=${1:?usage: install.sh DIR [NAME ...]}
shift
[ $# -gt 0 ] || set -- builder client gateway
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
# The Python of the client's environment: the oldest that the machine has, from the client's own on.
client_python=${CLIENT_PYTHON:-$(for each in 3.9 3.10; do
    for found in "$(command -v "python$each" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$each".*/bin/python; do
        [ -n "$found" ] && "$found" -c 'import ensurepip' 2>/dev/null && echo "$found" && exit
    done
done || true)}
client_python=${client_python:-$python}

PYTHON=$python bash "$checkout/distributions/build.sh" "$dir"
dir=$(cd "$dir" && pwd)

for name in "$@"; do
    lock=distributions/$name/requirements.txt run=$python wheels=()
    case $name in
        builder) wheels=("$dir"/dist/osfaas_builder-*.whl) ;;
        client) run=$client_python wheels=("$dir"/dist/osfaas_client-*.whl) ;;
        gateway) lock=requirements.txt wheels=("$dir"/dist/{osfaas,openstack_faas_gateway}*.whl) ;;
    esac
    if [ "$name" = client ] && "$run" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then wheels+=("$dir"/dist/osfaas_builder-*.whl); fi
    rm -rf "${dir:?}/$name"
    "$run" -m venv "$dir/$name"
    "$dir/$name/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$checkout/$lock"
    # Not built again: --no-build-isolation is for the rule that nothing is fetched unseen.
    "$dir/$name/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "${wheels[@]}"
done
