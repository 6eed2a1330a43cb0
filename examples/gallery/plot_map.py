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

last = {"mlp": "hidden4", "cnn": "dense", "transformer": "pool"}
with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    keys = [key for key in store.keys() if key.layer == last[key.model.split("-")[0]]]
    names = [key.model.split("-") for key in keys]
    labels = [
        {"family": family, "seed": seed, "step": key.step}
        for key, (family, seed) in zip(keys, names, strict=True)
    ]
    result = fastcka.compare([store.read(key) for key in keys], labels=labels)

figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
result.plot_map(color="family", ax=ax)
