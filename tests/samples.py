"""Data that several tests share."""

from __future__ import annotations


def related(rng, n, widths):
    """Representations that share a signal, so that CKA is neither 0 nor 1."""
    shared = rng.standard_normal((n, 7))
    return [
        (shared @ rng.standard_normal((7, d)) + 2 * rng.standard_normal((n, d)) + 5).astype("f")
        for d in widths
    ]
