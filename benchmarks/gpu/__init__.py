"""The parts of `benchmarks/gpu_check.py` that only a GPU needs.

install        the wheel of this tree, built and installed without a network
program        programs with a time limit
rehearsal      the emulation of CUDA in place of a GPU
suite          the tests on the device, and compute-sanitizer
part           what the measured parts have in common, and their sizes
chains         errors and times by the length of sums on tensor cores
calls          Python's share of a call, and many small groups
copies         from the host to the GPU
reads          a store, read by fastcka and raw
sweeps         whole sweeps by `fastcka run`
race           the contestants of a workload on the GPU
resident       fastcka's compiled pass alone, on data that are on the GPU
store          groups that are read from a store while others are computed
sanitized      a small workload for compute-sanitizer
verdict        which criteria a record meets
differences    a record compared with an earlier one

Workloads, contestants, rates, clock, record and machine are those of the suite.
"""
