#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing. Running it again changes nothing.
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
echo "    Debian packages: ${missing[*]}"
# Another installation may hold the lock for a moment.
apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
