"""Passes over representations that do not fit into memory, in blocks of rows.

plan        shapes and a memory budget -> route, rows of a block, how often the data are read
sources     blocks of rows as float64, read ahead; NaN and infinities with their positions
features    route F: one read, by `fastcka.core.far_moments`
gram        route G: bands of Gram matrices
work        a group begun and finished
"""
