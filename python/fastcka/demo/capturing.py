"""Store the activations of a checkpoint, unless the store already contains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture import (
    capture_activations,
    checkpoint_path,
    read_checkpoint,
    weights_digest,
)
from fastcka.demo.networks import LAYERS, build_network
from fastcka.demo.training import one_thread
from fastcka.store import Key

if TYPE_CHECKING:
    from fastcka.demo.data import Digits
    from fastcka.demo.training import Run
    from fastcka.store import Store


def capture_run(store: Store, run: Run, step: int, probe: Digits, *, stored: bool) -> bool:
    """Store the activations of one checkpoint on the probe images.

    Parameters
    ----------
    stored
        Whether the store contains a file for this network and step. The file is kept if it comes
        from the same weights, probe and layers, and replaced if not.

    Returns
    -------
    bool
        Whether a file was written.
    """
    state = read_checkpoint(checkpoint_path(run.directory, step)).model_state_dict
    layers = LAYERS[run.family]
    provenance: dict[str, Any] = {
        "weights": weights_digest(state),
        "probe": probe.digest,
        "layers": list(layers),
    }
    if stored and store.provenance(run.model, step) == provenance:
        return False
    network = build_network(run.family, run.seed)
    network.load_state_dict(state)
    with one_thread():
        activations = capture_activations(network, probe.images, layers)
    store.write(
        model=run.model,
        step=step,
        layers=activations,
        example_ids=probe.ids,
        example_columns={"digit": probe.digits.tolist()},
        factors={"family": run.family, "seed": run.seed},
        provenance=provenance,
        overwrite=stored,
    )
    return True


def probe_accuracy(store: Store, run: Run, step: int) -> float:
    """Return the share of probe images whose largest stored logit is their digit."""
    key = Key(run.model, step, "logits")
    digits = store.examples(key).columns["digit"]
    return float(np.mean(store.read(key).argmax(axis=1) == digits))
