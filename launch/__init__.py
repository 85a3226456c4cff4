"""Programs that run palmjax many times, or time it.

python -m launch.sweep      a recipe over seeds and options, and its table
python -m launch.verifier   the tables of `verify` in docs/results.md
python -m launch.bench      timings, one module a subject
"""
