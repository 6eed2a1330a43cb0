"""
Convolutional network and transformer
=====================================

Raghu et al. (2021) compare the layers of a ResNet and a vision transformer, each with itself and
with the other: do networks of different kinds have corresponding layers?
"""

import matplotlib.pyplot as plt

import fastcka

with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    keys = [key for key in store.keys() if key.step == 600]
    cnn, transformer = (
        {key.layer: store.read(key) for key in keys if key.model == f"{family}-seed0"}
        for family in ("cnn", "transformer")
    )

pairs = {
    "CNN": fastcka.compare(cnn),
    "transformer": fastcka.compare(transformer),
    "CNN (rows), transformer": fastcka.compare(cnn, transformer),
}
figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
for ax, (title, result) in zip(axes, pairs.items(), strict=True):
    result.plot(title=title, ax=ax)
