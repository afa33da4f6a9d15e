#!/usr/bin/env bash
# Builds the distributions of the checkout into DIR/dist, each wheel from its source distribution, and installs each of
# those that are named (default: all) into an environment of its own, DIR/NAME, which has nothing else.
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

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
[ -x "$dir/build/bin/python" ] || "$python" -m venv "$dir/build"
"$dir/build/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$checkout/distributions/builder/requirements.txt"

# A copy, so that nothing of a build stays in the checkout, and nothing of an earlier one gets in.
cp -RL "$checkout/distributions/client" "$checkout/distributions/builder" "$scratch"
mkdir "$scratch/gateway"
(cd "$checkout" && cp -R pyproject.toml README.md LICENSE control gateway operations tenancy policies localcloud "$scratch/gateway")
find "$scratch" -name __pycache__ -prune -exec rm -rf {} + -o -name '*.egg-info' -prune -exec rm -rf {} +
# The version of the tag, or a development version after the last one.
(cd "$checkout" && "$python" -m releases stamp "$scratch"/*/)
rm -rf "$dir/dist"
mkdir "$dir/dist"
for name in builder client gateway; do
    (cd "$scratch/$name" && "$dir/build/bin/python" -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' "$dir/dist") >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
done
PATH=$dir/build/bin:$PATH "$dir/build/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$dir/dist" "$dir"/dist/*.tar.gz

for name in "$@"; do
    lock=distributions/$name/requirements.txt run=$python wheels=()
    case $name in
        builder) wheels=("$dir"/dist/osfaas_builder-*.whl) ;;
        client) run=$client_python wheels=("$dir"/dist/osfaas_client-*.whl) ;;
        gateway) lock=requirements.txt wheels=("$dir"/dist/*.whl) ;;
    esac
    if [ "$name" = client ] && "$run" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then wheels+=("$dir"/dist/osfaas_builder-*.whl); fi
    rm -rf "${dir:?}/$name"
    "$run" -m venv "$dir/$name"
    "$dir/$name/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$checkout/$lock"
    # Not built again: --no-build-isolation is for the rule that nothing is fetched unseen.
    "$dir/$name/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "${wheels[@]}"
done
