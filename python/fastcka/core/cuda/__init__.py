"""Passes on a CUDA device, by the compiled module _cuda, cuBLAS, and cupy's memory and streams.

status   what was built and found, and what stands in the way
library  where cuBLAS may lie
cost     what a pass is predicted to take
plan     shapes -> route, tile, products, memory; pure
ring     host memory -> device memory, through pinned buffers
session  streams, memory and their order; the one place that imports cupy
pending  a pass that is on its way -> sums
blocks   a pass in pieces, where memory is short
runtime  all of it in this process, opened on first use
"""
