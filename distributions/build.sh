#!/usr/bin/env bash
# Builds the distributions of the checkout into DIR/dist, each wheel from its source distribution. The same commit gives
# the same wheels.
#
#     build.sh DIR
set -euo pipefail
dir=${1:?usage: build.sh DIR}
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
[ -x "$dir/build/bin/python" ] || "$python" -m venv "$dir/build"
"$dir/build/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$checkout/distributions/builder/requirements.txt"

# A copy, so that nothing of a build stays in the checkout, and nothing of an earlier one gets in.
cp -RL "$checkout/distributions/client" "$checkout/distributions/builder" "$checkout/functions/checksums" "$scratch"
cp -RL "$checkout"/functions/runtimes/*/ "$scratch"
mkdir "$scratch/gateway"
(cd "$checkout" && cp -R pyproject.toml README.md LICENSE control gateway operations tenancy policies localcloud "$scratch/gateway")
find "$scratch" -name __pycache__ -prune -exec rm -rf {} + -o -name '*.egg-info' -prune -exec rm -rf {} +
# The version of the tag, or a development version after the last one.
(cd "$checkout" && "$python" -m releases stamp "$scratch"/*/)
# The time of every file of a wheel. Without a commit, as in an unpacked release: the first that an archive can have.
SOURCE_DATE_EPOCH=$(git -C "$checkout" log -1 --format=%ct 2>/dev/null || echo 315532800)
export SOURCE_DATE_EPOCH
rm -rf "$dir/dist"
mkdir "$dir/dist"
for project in "$scratch"/*/; do
    (cd "$project" && "$dir/build/bin/python" -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' "$dir/dist") >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
done
PATH=$dir/build/bin:$PATH "$dir/build/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$dir/dist" "$dir"/dist/*.tar.gz
