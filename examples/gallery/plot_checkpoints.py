"""
Checkpoints of a training
=========================

Raghu et al. (2017) compare each layer during training with the same layer at the end, and find
that early layers reach their final representation first. Here the comparison uses CKA, and the
band is the range over three seeds.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastcka

curves = {}  # layer -> one row for each seed
with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    models = sorted({key.model for key in store.keys() if key.model.startswith("mlp")})
    steps = sorted({key.step for key in store.keys()})
    for model in models:
        for layer in dict.fromkeys(k.layer for k in store.keys() if k.model == model):
            keys = [k for k in store.keys() if k.model == model and k.layer == layer]
            result = fastcka.compare({key.step: store.read(key) for key in keys})
            values = [result[str(step), str(steps[-1])] for step in steps[:-1]]
            curves.setdefault(layer, []).append([*values, 1])

figure, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
for layer, rows in curves.items():
    (line,) = ax.plot(np.mean(rows, axis=0), marker="o", label=layer)
    ax.fill_between(range(len(steps)), *np.quantile(rows, (0, 1), axis=0), alpha=0.15)
ax.set_xticks(range(len(steps)), steps)
ax.set_xlabel("updates")
ax.set_ylabel("CKA with the last step")
ax.legend(title="MLP")
