"""Timings: `python -m launch.bench`, one module a subject."""
