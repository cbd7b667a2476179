#!/bin/sh
# Builds transform-python.wasm here, or where the first argument says. Needs componentize-py (see requirements.txt) on
# the PATH, or in the environment that COMPONENTIZE_PY names.
set -eu
output=$(realpath -m "${1:-transform-python.wasm}")
cd "$(dirname "$0")"
exec "${COMPONENTIZE_PY:-componentize-py}" -d ../../wit -w transformation componentize app -o "$output"
