#!/usr/bin/env bash
# Carry the doctor to a machine with a GPU and without a network.
#
#   tools/gpu_check.sh pack [ARCHIVE]      here, with a network; default: gpu_check.tar.gz
#   tar xzf gpu_check.tar.gz && bash gpu_check/gpu_check.sh run      there; gpu_check_result.tar.gz
#
# The archive has this commit's sources and the wheels of what they need, but for torch and its
# CUDA libraries, which take gigabytes and which such a machine has: WITH_TORCH=1 packs them too.
# Wheels fit a Python and a processor: those of PYTHON (default: python3) here, unless
# PYTHON_VERSION=3.12 and PLATFORM=manylinux_2_28_x86_64 say what is there.
# There, PYTHON is the Python that has torch. Further arguments of run go to the doctor.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

pack() {
    local archive=${1:-gpu_check.tar.gz} root version
    root=$(cd "$here/.." && pwd)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/gpu_check/wheels"
    version=${PYTHON_VERSION:-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
    git -C "$root" archive --prefix=gpu_check/sources/ HEAD | tar x -C "$folder"
    git -C "$root" rev-parse HEAD > "$folder/gpu_check/commit"
    cp "$here/gpu_check.sh" "$folder/gpu_check/"
    # Every pin, one by one: to resolve them would bring torch.
    "$python" - "$root/constraints.txt" "$version" > "$folder/pins" <<'END'
import re, sys

path, version = sys.argv[1:]
LEFT_OUT = {"mypy", "ruff", "hypothesis", "import-linter", "opencv-python", "tensorboard"}
for line in open(path):
    pin, _, marker = line.partition("#")[0].strip().partition(";")
    name = re.split(r"==", pin.strip())[0]
    older = "python_version <" in marker
    if not pin or name in LEFT_OUT or name == "torch":
        continue
    if marker and older != (tuple(map(int, version.split("."))) < (3, 11)):
        continue
    print(pin.strip())
END
    local -a platform=()
    if [ -n "${PLATFORM:-}" ]; then
        platform=(--python-version "$version" --implementation cp --only-binary=:all:)
        for one in "$PLATFORM" manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64; do
            platform+=(--platform "$one")
        done
    fi
    while read -r pin; do
        "$python" -m pip download --quiet --no-deps "${platform[@]}" \
            --dest "$folder/gpu_check/wheels" "$pin" || echo "left out: $pin" >&2
    done < "$folder/pins"
    if [ -n "${WITH_TORCH:-}" ]; then
        "$python" -m pip download --quiet "${platform[@]}" --dest "$folder/gpu_check/wheels" \
            "$(grep '^torch==' "$root/constraints.txt")"
    fi
    tar czf "$archive" -C "$folder" gpu_check
    echo "$archive: $(du -h "$archive" | cut -f1); there: tar xzf $(basename "$archive") &&" \
        "bash gpu_check/gpu_check.sh run"
}

run() {
    local result=$PWD/gpu_check_result out
    out=$(mktemp -d)
    # In an environment of its own, which sees the Python that has torch, also where that is an
    # environment itself: nothing on the machine is changed.
    if [ ! -d "$here/env" ]; then
        "$python" -m venv "$here/env"
        "$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])' \
            > "$(echo "$here"/env/lib/python3*/site-packages)/machine.pth"
    fi
    "$here/env/bin/python" -m pip install --quiet --no-index --no-deps "$here"/wheels/*.whl
    export PYTHONPATH=$here/sources PYTHONUNBUFFERED=1
    mkdir -p "$result"
    cp "$here/commit" "$result/"
    nvidia-smi > "$result/nvidia-smi.txt" 2>&1 || true
    local status=0
    (cd "$out" && "$here/env/bin/python" -m convnext_dense doctor --full --rows \
        --json "$result/findings.json" "$@") 2>&1 | tee "$result/findings.txt" || status=$?
    tar czf "$result.tar.gz" -C "$(dirname "$result")" "$(basename "$result")"
    rm -rf "$out"
    echo "$result.tar.gz"
    return "$status"
}

case ${1:-} in
    pack | run) "$@" ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
