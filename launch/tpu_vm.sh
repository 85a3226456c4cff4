#!/usr/bin/env bash
# Trains on a TPU VM, or on all hosts of a TPU pod slice.
#
#   launch/tpu_vm.sh [--dry-run] NAME ZONE --config=CONFIG --workdir=DIR …
#
# Each host has palmjax installed, and sees DIR: a drive or a mounted bucket.
set -euo pipefail
run=()
if [[ ${1:-} == --dry-run ]]; then
  run=(echo)
  shift
fi
name=$1 zone=$2
shift 2
exec "${run[@]}" gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" \
  --worker=all --command="python3 -m palmjax.main$(printf ' %q' "$@" --processes=auto)"
