"""Compare the phases of a training run: weights, activations, attention, and a verdict.

from fastcka.evolution import evolve

evolve("plan.json", "checkpoints", "analysis", model="nets:build", probe="probe.npz")

series        reads the checkpoints of a run, and lists those that cannot be used
weights       cosines and changes of each tensor; diversity: its filters
capturing     computes activations from checkpoints; activations: CKA, sparsity; attention
verdict       is early less similar to late than mid is, by more than the baselines explain?
analysis      the JSON file of an experiment; schema: its types
answer        the verdicts of an experiment in a few sentences
figures, summary    are made from the JSON files
folder        refuses an output folder with other results
"""

from fastcka.evolution.analysis import read_analysis
from fastcka.evolution.evolve import EvolveResult, evolve
from fastcka.evolution.summary import write_summary

__all__ = ["EvolveResult", "evolve", "read_analysis", "write_summary"]
