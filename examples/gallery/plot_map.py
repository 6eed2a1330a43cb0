"""
Map of models
=============

The angle arccos(CKA) is a metric (Williams et al. 2021), so networks can be drawn as points whose
distances are close to it. Each point is the layer before the logits of one network at one step of
its training. The caption gives the stress: how far the distances in the plane are from the
angles.
"""

import matplotlib.pyplot as plt

import fastcka
from fastcka.demo import run_demo

demo = run_demo("fastcka-demo")  # trains the networks once, in about a minute
last = {"mlp": "hidden4", "cnn": "dense", "transformer": "pool"}
with fastcka.open_store(demo.store) as store:
    keys = [key for key in store.keys() if key.layer == last[key.model.split("-")[0]]]
    labels = [{"family": key.model.split("-")[0], "step": key.step} for key in keys]
    result = fastcka.compare([store.read(key) for key in keys], labels=labels)

figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
result.plot_map(color="family", ax=ax)
