#!/usr/bin/env bash
# Installs the storage world's clients into DIR and from Debian what is missing. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

grep -v '^#' "$here/apt.txt" | xargs "$here/../../localcloud/debian.sh"

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
echo "    Python packages: Rucio, dynafed-storagestats, gfal"
"$dir/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
# davix has the call that gfal2, FTS and XRootD use, and no command for it.
echo "    davix-checksum"
g++ -O1 -o "$dir/davix-checksum" "$here/davix_checksum.cpp" -I/usr/include/davix -ldavix
echo "    gophercloud"
CGO_ENABLED=0 nice go build -C "$here/gophercloud" -trimpath -mod=readonly -o "$(cd "$dir" && pwd)/gophercloud-limits" .
