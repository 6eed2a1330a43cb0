"""The parts of `benchmarks/gpu_check.py` that only a GPU needs.

race           the contestants of a workload on the GPU, in one process
resident       fastcka's compiled pass alone, on data that are on the GPU
store          groups that are read from a store while others are computed
sanitized      a small workload for compute-sanitizer
verdict        which criteria a record meets

Workloads, contestants, rates, clock, record and machine are those of the suite.
"""
