"""
Layer by layer
==============

Which layer of one network corresponds to which layer of another? Kornblith et al. (2019) compare
every layer of two networks that differ in their random initialization. If CKA finds corresponding
layers, the largest value of each row is on the diagonal.
"""

import matplotlib.pyplot as plt

import fastcka

with fastcka.open_store("fastcka-demo/store") as store:  # written by `fastcka demo`
    keys = [key for key in store.keys() if key.step == 600]
    a = {key.layer: store.read(key) for key in keys if key.model == "mlp-seed0"}
    b = {key.layer: store.read(key) for key in keys if key.model == "mlp-seed1"}

result = fastcka.compare(a, b)
figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
result.plot(title="MLP, seed 0 (rows) and seed 1 (columns)", ax=ax)

# %%
# The most similar layer of the second network, for each layer of the first:

for layer, row in zip(a, result.cka, strict=True):
    print(f"{layer}: {list(b)[row.argmax()]} ({row.max():.2f})")
