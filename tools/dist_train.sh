#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [flags of tools/train.py]
# NNODES, NODE_RANK, MASTER_ADDR and PORT are read from the environment for more than one machine,
# and PYTHON where it is another than python, such as .venv/bin/python.
set -euo pipefail
config=$1
processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
