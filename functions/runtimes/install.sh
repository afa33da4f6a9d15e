#!/usr/bin/env bash
# Installs both runtimes into DIR for the tests: DIR/wheels, and an environment for each, DIR/framework and DIR/asgi; and
# the packages of the template 'thumbnail' into DIR/packages.
# Never one for both: a function has one of them, and nothing of the other. Running it again changes nothing.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

mkdir -p "$dir/wheels"
for runtime in framework asgi; do
    echo "    Python packages: the runtime '$runtime'"
    "$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: --dest "$dir/wheels" --requirement "$here/$runtime/${runtime}_runtime/constraints.txt"
    [ -x "$dir/$runtime/bin/python" ] || "$python" -m venv "$dir/$runtime"
    "$dir/$runtime/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$dir/wheels" --require-hashes --requirement "$here/$runtime/${runtime}_runtime/constraints.txt"
    "$dir/$runtime/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$here/$runtime"
done
mkdir -p "$dir/packages"
"$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps --dest "$dir/packages" --requirement "$here/packages.txt"
