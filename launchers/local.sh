#!/usr/bin/env bash
# A search on this machine: Ray starts here, on loopback only, and ends with the search.
#
#   launchers/local.sh launchers/configs/hippocampus.yaml data/hippocampus/dataset.json
#
# Edit: WORKERS (processes that share every batch) and GPUS (of each, may be a fraction), here or in the environment.
set -euo pipefail
CONFIG=${1:?usage: launchers/local.sh CONFIG.yaml DATASET.json [more options of autoreg search]}
DATASET=${2:?usage: launchers/local.sh CONFIG.yaml DATASET.json [more options of autoreg search]}
shift 2

WORKERS=${WORKERS:-2}
GPUS=${GPUS:-0}

exec autoreg search "$CONFIG" --dataset "$DATASET" --workers "$WORKERS" --gpus-per-worker "$GPUS" "$@"
