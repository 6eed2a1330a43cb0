"""fastcka compared with NumPy, torch and eight packages that compute CKA.

    python -m benchmarks            # run the suite; `--help` lists the other commands

workloads      the shapes that are compared, on the CPU and on a GPU
data           the arrays of a workload, from a seed
reference      CKA in float64, from its definitions; errors against it
by_fastcka, by_numpy, by_torch, by_peers    the calls of the contestants
contestants    one table of them: what is called, which estimator, how the cost grows
rates          how fast the machine multiplies, moves memory, launches
clock          how a call is timed
peer_folder    the peers on disk, each in a separate folder
worker         one contestant in a separate process; it answers over a pipe
sizing         the part of a workload that a contestant can afford
process        the suite's side of that pipe
processes      all processes of a run
predict        fastcka's predictions, in a separate process
race           the contestants of a workload, checked, then timed in turn
sweep          a sweep from a store to results.csv
small          small calls compared with NumPy, the first call, the import
growth         measured and predicted seconds, as n, d, M and threads grow
correctness    every contestant on data that are hard for float32
suite          all of these, into one record
machine        where a record was measured
record         the record as JSON
table, race_table, part_tables, cells    the record as tables
picture        the growth as curves
terminal       the tables on a terminal
progress       what is printed during a run
command        the command line
gpu            what only a GPU needs; `gpu_check.py` runs it

Separate scripts: gpu_check, seed_sweep (with seed_tree), null_simulation, verdict_simulation,
measures.
"""
