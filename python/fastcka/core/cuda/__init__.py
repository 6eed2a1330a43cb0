"""Passes on a CUDA device, by the compiled module _cuda, cuBLAS, and cupy's memory and streams.

status   what was built and found, and what is missing
library  where cuBLAS may be
cost     what a pass is predicted to take
plan     shapes -> route, tile, products, memory; pure
ring     host memory -> device memory, through pinned buffers
session  streams, events and passes in flight; the one place that imports cupy
submission  how a pass is enqueued: memory that is short, blocks, graphs
pending  a pass that is on its way -> sums
blocks   a pass in pieces, where memory is short
runtime  all of it in this process, opened on first use
"""
