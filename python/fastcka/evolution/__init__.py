"""How the phases of a training run differ: weights, activations, attention, an honest verdict.

from fastcka.evolution import evolve

evolve("plan.json", "checkpoints", "analysis", model="nets:build", probe="probe.npz")

series        the checkpoints of a run that can be used, and why others cannot
weights       cosines and changes of each tensor; diversity of its filters
capturing     checkpoints -> activations of each layer; activations: CKA, sparsity; attention
verdict       is early farther from late than mid is, beside what else could make it so
analysis      the JSON file of an experiment, its schema; figures and summary are made from it
"""

from fastcka.evolution.analysis import read_analysis
from fastcka.evolution.evolve import EvolveResult, evolve
from fastcka.evolution.summary import write_summary

__all__ = ["EvolveResult", "evolve", "read_analysis", "write_summary"]
