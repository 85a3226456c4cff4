#!/usr/bin/env bash
#SBATCH --job-name=palmjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
# Trains on the nodes of a SLURM job. Two minutes before its end the job gets a
# signal, writes a checkpoint and stops; the same command goes on.
#
#   sbatch launch/slurm.sh --config=CONFIG --workdir=DIR …
#   sbatch --ntasks-per-node=8 --gpus-per-node=8 launch/slurm.sh …
#
# A task takes one GPU. `launch/slurm.sh --dry-run …` prints what a job runs.
set -euo pipefail
run=(srun --kill-on-bad-exit=1)
if [[ ${1:-} == --dry-run ]]; then
  run=(echo "${run[@]}")
  shift
fi
exec "${run[@]}" python -m palmjax.main "$@"
