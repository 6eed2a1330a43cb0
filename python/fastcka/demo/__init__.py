"""The demo: train small networks, capture their activations, compare them, and summarize.

    from fastcka.demo import run_demo

    result = run_demo("demo")

Three kinds of networks, three seeds each, learn handwritten digits. Their activations on 600
held-out images are stored at four steps, and one sweep compares all layers of all networks.
"""

from fastcka.demo.pipeline import DEFAULT_SEEDS, DEFAULT_STEPS, DemoResult, run_demo
from fastcka.demo.report import print_report

__all__ = ["DEFAULT_SEEDS", "DEFAULT_STEPS", "DemoResult", "print_report", "run_demo"]
