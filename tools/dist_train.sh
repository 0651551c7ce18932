#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [flags of tools/train.py]
# The environment variables of tools/dist_run.sh choose machines, port and restarts.
set -euo pipefail
config=$1
processes=$2
shift 2
exec "$(dirname "$0")/dist_run.sh" train.py "$processes" "$config" --launcher pytorch "$@"
