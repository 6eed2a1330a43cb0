"""The parts of `benchmarks/gpu_check.py`, each of which is a program or measures one thing."""
