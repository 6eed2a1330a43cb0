"""
Map of models
=============

The angle arccos(CKA) is a metric (Williams et al. 2021), so networks can be drawn as points whose
distances are close to it. Each point is the layer before the logits of one trained network. The
caption gives the stress: how far the distances in the plane are from the angles.
"""

import matplotlib.pyplot as plt

import fastcka

last = {"mlp": "hidden4", "cnn": "dense", "transformer": "pool"}
representations, labels = [], []
with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    for key in store.keys():
        family, seed = key.model.split("-")
        if key.step == 600 and key.layer == last[family]:
            representations.append(store.read(key))
            labels.append({"family": family, "seed": seed})

result = fastcka.compare(representations, labels=labels)
figure, ax = plt.subplots(figsize=(6.5, 5), layout="constrained")
result.plot_map(color="family", ax=ax)
