"""fastcka beside NumPy, torch and eight packages that compute CKA.

    python -m benchmarks            # everything that is there; `--help` for the rest

workloads      what is compared: shapes, data, why
data           a workload's arrays, from a seed
reference      CKA in float64, by definition
by_fastcka, by_numpy, by_torch, by_peers    the contestants' calls
contestants    all of these in one table: what is called, which estimator, how its cost grows
peer_folder    the peers on disk, each in a folder of its own
worker         one contestant in a process of its own; answers over a pipe
process        the other end of that pipe
race           the contestants of a workload, checked, then timed in turn
sweep          a sweep from a store to results.csv
growth         measured over predicted seconds, over n, d, M and threads
correctness    every contestant on data that hurt
suite          all of these -> one record
record, table, picture    the record as JSON, as Markdown, as curves
"""
