#!/bin/bash
# Asks for one checksum of an object in Swift, as a member of the project: OS_CLOUD=devstack devstack/smoke.sh
# `openstack` and `osfaas` must be on the PATH.
set -euo pipefail
expected=11e60398
container=osfaas-smoke-$$
folder=$(mktemp -d)
trap 'openstack container delete --recursive "$container" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

printf Wikipedia >"$folder/object"
openstack container create "$container" >/dev/null
openstack object create --name object "$container" "$folder/object" >/dev/null
found=$(osfaas checksum get "$container/object" --algorithm adler32)
[ "$found" = "$expected" ] || { echo "adler32 is $found, not $expected" >&2; exit 1; }
echo "adler32 of $container/object: $found"
