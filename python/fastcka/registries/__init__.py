"""The measures in the naming and with the property flags of two registries.

    similarity.register(name, measure)      similarity-repository (Cloos, Yang and Cueva 2024)
    repsim.measures.ALL_MEASURES            ReSi, the benchmark of Klabunde et al. 2025

This package needs neither of them:

    for name, measure in repository_measures().items():
        similarity.register(name, measure)
    repsim.measures.ALL_MEASURES.update(resi_measures())

table       every measure with its names and properties
axes        arrays with more axes, as rows
repository  functions of two arrays, and cards
resi        objects with flags, which take two arrays and their shape
"""

from __future__ import annotations

from fastcka.registries.repository import repository_cards, repository_measures
from fastcka.registries.resi import ResiMeasure, resi_measures
from fastcka.registries.table import MEASURES, RegisteredMeasure

__all__ = [
    "MEASURES",
    "RegisteredMeasure",
    "ResiMeasure",
    "repository_cards",
    "repository_measures",
    "resi_measures",
]
