#!/usr/bin/env bash
# Installs Keystone and Swift into DIR/venv, and from Debian what they need. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

missing=()
command -v memcached >/dev/null || missing+=(memcached)
ldconfig -p | grep -q liberasurecode.so.1 || missing+=(liberasurecode1)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "    Debian packages: ${missing[*]}"
  # Another installation may hold the lock for a moment.
  apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
fi

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Keystone, Swift, their clients"
"$dir/venv/bin/pip" install --quiet --constraint "$here/constraints.txt" --requirement "$here/requirements.txt"
