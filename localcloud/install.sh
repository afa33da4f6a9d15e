#!/usr/bin/env bash
# Installs Keystone, Swift and Envoy into DIR/venv, and from Debian what they need. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

grep -v '^#' "$here/apt.txt" | xargs "$here/debian.sh"

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Keystone, Swift, their clients, Envoy"
"$python" "$here/progress.py" "$dir/venv/bin/pip" install --require-hashes --requirement "$here/constraints.txt"
