#!/usr/bin/env bash
# Builds the registry of the CNCF project distribution into DIR, with Go. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
mkdir -p "$dir"
[ -x "$dir/registry" ] || GOBIN=$(realpath "$dir") CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2
