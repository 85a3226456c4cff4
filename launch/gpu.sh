#!/usr/bin/env bash
# Measures what a GPU is to reach (launch/bench/accelerator.py), beside PyTorch
# where it is installed:
#   launch/gpu.sh OUT [OPTION …]        e.g. launch/gpu.sh results --small
# Needs `pip install -r requirements.txt "jax[cuda12]"`. Writes OUT/bench.json
# and OUT/bench.txt. Ends with 1 where JAX sees no GPU, unless sizes are small.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?give a folder for the results}
shift
mkdir -p "$out"
# PyTorch needs memory of the same GPU.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
commit=$(git rev-parse --short HEAD 2>/dev/null || true)
if [[ " $* " != *" --small "* ]]; then
  python -c 'import jax, sys; sys.exit(jax.default_backend() != "gpu")' ||
    { echo 'gpu.sh: JAX sees no GPU: pip install "jax[cuda12]"' >&2; exit 1; }
fi
python -m launch.bench accelerator --repeats=10 --out="$out" \
  --commit="$commit" "$@" | tee "$out/bench.txt"
