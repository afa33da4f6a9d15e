#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing. Running it again changes nothing.
# Only root can; everybody else is told what an administrator has to run, and gets status 1.
set -euo pipefail

if ! command -v dpkg-query >/dev/null; then
  echo "    This is no Debian; what these packages contain has to be here: $*"
  exit 0
fi
missing=()
for package in "$@"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "Debian packages are missing. Ask an administrator to run:" \
    "apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "    Debian packages: ${missing[*]}"
# Another installation may hold the lock for a moment.
apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
