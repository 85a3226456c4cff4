#!/usr/bin/env bash
# Trains on this machine. One process takes all devices.
#
#   launch/local.sh [--dry-run] --config=CONFIG --workdir=DIR …
#
# PROCESSES=2 starts two that share the work: to try many hosts on one CPU.
set -euo pipefail
run=()
if [[ ${1:-} == --dry-run ]]; then
  run=(echo)
  shift
fi
count=${PROCESSES:-1}
if ((count == 1)); then
  exec "${run[@]}" python -m palmjax.main "$@"
fi
started=()
for ((i = 0; i < count; i++)); do
  "${run[@]}" python -m palmjax.main "$@" --process="$i" \
    --processes="$count" --coordinator="localhost:${PORT:-12355}" &
  started+=($!)
done
for process in "${started[@]}"; do
  wait "$process"
done
