#!/usr/bin/env bash
# Usage: tools/dist_run.sh TOOL PROCESSES [arguments of the tool]
# What dist_train.sh and dist_test.sh share. The environment has, for more than one machine, NNODES,
# NODE_RANK, MASTER_ADDR and PORT; MAX_RESTARTS, how often a run whose process was lost is started
# again; and PYTHON where it is another than python, such as .venv/bin/python.
set -euo pipefail
tool=$1
processes=$2
shift 2
python=${PYTHON:-python}
nodes=${NNODES:-1}
address=${MASTER_ADDR:-127.0.0.1}
port=${PORT:-29500}
is_host=0
[ "${NODE_RANK:-0}" -ne 0 ] || is_host=1

if [ "$is_host" = 1 ]; then
    # torchrun itself says that the connection to its store has failed.
    "$python" - "$port" <<'END' || exit 1
import os, socket, sys
port = sys.argv[1]
if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
    sys.exit(f"error: PORT={port} is not a port: choose one from 1024 to 65535")
try:
    socket.create_server(("", int(port))).close()
except OSError as failure:
    way_on = "choose another, such as PORT=29501, on every machine"
    sys.exit(f"error: port {port} cannot be used ({os.strerror(failure.errno)}): {way_on}")
END
fi

# Or torch 2.13 would give a run that is started again the addresses of the processes before.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# exec keeps the number of this process, which the others end with.
export CONVNEXT_DENSE_LAUNCHER=$$
# What torchrun ends the run by; under nohup SIGHUP is ignored, and stays so.
signals=SIGTERM,SIGINT,SIGQUIT
[ -n "$(trap -p HUP)" ] || signals+=,SIGHUP
[ -n "$(trap -p USR1)" ] || signals+=,SIGUSR1
export TORCHELASTIC_SIGNALS_TO_HANDLE=$signals
options=()
# One machine needs no name that others can resolve.
[ "$nodes" != 1 ] || options+=(--local-addr="$address")
# The c10d rendezvous can start a run again; torchrun's own cannot, since its port stays dead.
exec "$python" -m torch.distributed.run \
    --nnodes="$nodes" --nproc_per_node="$processes" --max_restarts="${MAX_RESTARTS:-0}" \
    --rdzv_backend=c10d --rdzv_endpoint="$address:$port" --rdzv_id=convnext_dense \
    --rdzv_conf="is_host=$is_host" "${options[@]}" \
    "$(dirname "$0")/$tool" "$@"
