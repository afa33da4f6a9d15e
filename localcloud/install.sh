#!/usr/bin/env bash
# Installs Keystone and Swift into DIR/venv, and from Debian what they need. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

missing=()
command -v memcached >/dev/null || missing+=(memcached)
ldconfig -p | grep -q liberasurecode.so.1 || missing+=(liberasurecode1)
[ "${#missing[@]}" -eq 0 ] || "$here/debian.sh" "${missing[@]}"

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Keystone, Swift, their clients"
"$dir/venv/bin/pip" install --quiet --constraint "$here/constraints.txt" --requirement "$here/requirements.txt"
