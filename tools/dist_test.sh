#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [flags of tools/test.py]
# The environment variables of tools/dist_run.sh choose machines and port.
set -euo pipefail
config=$1
checkpoint=$2
processes=$3
shift 3
exec "$(dirname "$0")/dist_run.sh" test.py "$processes" "$config" "$checkpoint" \
    --launcher pytorch "$@"
