#!/usr/bin/env bash
# Builds XRootD's client of the version in requirements.txt, with its plug-in for HTTP, into DIR. Running it again
# changes nothing. PIP names a pip whose environment has setuptools 70.1 or later.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
pip=${PIP:-pip}

grep -v '^#' "$here/apt.txt" | xargs "$here/../../../localcloud/debian.sh"

version=$(sed -n 's/^xrootd==\([^ ]*\).*/\1/p' "$here/requirements.txt")
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
[ "$(cat "$dir/version" 2>/dev/null || true)" != "$version" ] || exit 0
rm -rf "$dir/source" "$dir/build" "$dir/version"
mkdir "$dir/source"
echo "    Source distribution of XRootD $version"
"$pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation --require-hashes \
  --requirement "$here/requirements.txt" --dest "$dir/source"
tar -xzf "$dir/source/xrootd-$version.tar.gz" -C "$dir/source" --strip-components=1

# Two compilers at a time, and no more of the source than the two programs and the plug-in need.
echo "    xrdcp, xrdfs and the plug-in for HTTP: some minutes of compiling"
cmake -S "$dir/source" -B "$dir/build" -DCMAKE_BUILD_TYPE=Release -DXRDCL_ONLY=TRUE -DFORCE_ENABLED=TRUE \
  -DENABLE_HTTP=TRUE -DENABLE_FUSE=FALSE -DENABLE_KRB5=FALSE -DENABLE_PYTHON=FALSE -DENABLE_READLINE=FALSE \
  -DENABLE_VOMS=FALSE -DENABLE_XRDOSSARC=FALSE -DCMAKE_DISABLE_FIND_PACKAGE_LibXml2=TRUE \
  -DCMAKE_DISABLE_FIND_PACKAGE_systemd=TRUE >"$dir/build.log"
nice -n 10 cmake --build "$dir/build" --parallel 2 --target xrdcp xrdfs "XrdClHttp-${version%%.*}" >>"$dir/build.log"
mkdir -p "$dir/plugins"
cat >"$dir/plugins/http.conf" <<CONF
url = http://*;https://*
lib = $dir/build/lib/libXrdClHttp.so
enable = true
CONF
echo "$version" >"$dir/version"
