#!/usr/bin/env bash
# `make demo ONCE=1`, and with WHOLE=1 `make test` too, as an ordinary user with a fresh clone of what is committed, run by
# root. User and clone go away.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || { echo "tests/newcomer needs root, to make the user" >&2; exit 2; }
PATH=$PATH:/usr/sbin:/sbin

user=newcomer-$$
useradd --create-home --shell /bin/bash "$user"
home=$(getent passwd "$user" | cut -d: -f6)

processes() { ps -o pid= -u "$user" || true; }

clean_up() {
  processes | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
  while [ -n "$(processes)" ]; do sleep 0.1; done
  userdel --remove "$user" 2>/dev/null || userdel --force --remove "$user"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# What this machine needs to reach its package index, and nothing else of root's environment: no /sbin on the PATH.
as_newcomer() {
  local kept=(HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin) name
  while read -r name; do kept+=("$name=${!name}"); done < <(compgen -e | grep -E '^PIP_|_proxy$|_PROXY$|^SSL_CERT_|^REQUESTS_CA_BUNDLE$')
  (cd "$home/clone" 2>/dev/null || cd "$home"; runuser -u "$user" -- env -i "${kept[@]}" "$@")
}

cd "$home"
git clone --quiet --no-hardlinks "$top" clone
# pip takes no cache of somebody else's, so the newcomer gets a copy of root's.
cache=$(env -u PYTHONPATH python3 -m pip cache dir 2>/dev/null || true)
if [ -d "$cache" ]; then
  mkdir -p .cache
  cp -r --reflink=auto "$cache" .cache/pip
fi
chown -R "$user": .

echo "==> make demo ONCE=1, as $user"
started=$SECONDS
as_newcomer make demo ONCE=1 PYTHON="${PYTHON:-python3}"
if [ -n "${WHOLE:-}" ]; then as_newcomer make test PYTHON="${PYTHON:-python3}"; fi
echo "==> it took $((SECONDS - started)) seconds"
if [ -n "$(processes)" ]; then
  echo "processes are left:" >&2
  ps -f -u "$user" >&2
  exit 1
fi
