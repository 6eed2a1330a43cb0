"""
Seeds, before and after training
================================

High CKA between networks from different seeds means little by itself: untrained networks can be
similar too, because they see the same inputs (Cui et al. 2022). So show the untrained networks
next to the trained ones.
"""

import matplotlib.pyplot as plt

import fastcka

figure, axes = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    for ax, step in zip(axes, (0, 600), strict=True):
        keys = [k for k in store.keys() if k.step == step and k.model.startswith("cnn")]
        labels = [{"seed": key.model[-5:], "layer": key.layer} for key in keys]
        result = fastcka.compare([store.read(key) for key in keys], labels=labels)
        result.plot(title=f"CNN, three seeds, after {step} updates", blocks="seed", ax=ax)
