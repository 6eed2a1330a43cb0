"""The whole tool on real data: train small networks, capture, compare, summarize.

    from fastcka.demo import run_demo

    result = run_demo("demo")

Three families of networks times three seeds learn handwritten digits; their activations on 600
held-out images go into a store at four steps, and one sweep compares all layers of all networks.
"""

from fastcka.demo.pipeline import DEFAULT_SEEDS, DEFAULT_STEPS, DemoResult, run_demo
from fastcka.demo.report import print_report

__all__ = ["DEFAULT_SEEDS", "DEFAULT_STEPS", "DemoResult", "print_report", "run_demo"]
