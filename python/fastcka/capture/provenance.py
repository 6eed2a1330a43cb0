"""What decides captured numbers, as a key: rows are taken up again only where it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fastcka.digests import arrays_digest, text_digest
from fastcka.store.jsontext import canonical, checked_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fastcka.capture.activations import BatchAxes, Pools
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import Side
    from fastcka.capture.probe import Probe

#: Changes when captured numbers may change for the same key.
CAPTURE_VERSION: Final = 2


def capture_key(
    model: torch.nn.Module,
    probe: Probe,
    *,
    layers: Sequence[str],
    pool: Pools,
    side: Side,
    masks: Masks | None,
    batch_axis: BatchAxes,
    check_rows: bool,
    factors: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the key of a capture, in JSON's types.

    It covers every parameter and buffer (``weights``), the modules and their settings as the model
    prints them, with the configuration of a Hugging Face model (``network``), the probe set's
    inputs, ids, mask and columns (``probe``), the layers asked for, pooling, side, masks, the axis
    of the examples, whether the rows were checked, and the factors. It cannot cover the code of a
    ``forward`` method.
    """
    tensors = dict(model.state_dict())
    tensors |= {name: own for name, own in model.named_buffers() if name not in tensors}
    config = getattr(getattr(model, "config", None), "to_json_string", lambda: "")()
    return {
        "capture_version": CAPTURE_VERSION,
        "weights": arrays_digest(tensors.items()),
        "network": text_digest(f"{model}\n{config}"),
        "probe": probe.digest,
        "layers": list(layers),
        "pool": _in_order(pool),
        "side": side,
        "masks": _in_order(masks),
        "batch_axis": _in_order(batch_axis),
        "check_rows": check_rows,
        "factors": checked_factors(factors),
    }


def _in_order(option: object) -> object:
    return list(map(list, option.items())) if isinstance(option, Mapping) else option


def changed_parts(old: object, new: Mapping[str, Any]) -> list[str]:
    """Return which parts of a key are not as they were; all of them, if ``old`` is no key.

    Rows that were checked are good where no check is asked for.
    """
    before = old if isinstance(old, Mapping) else {}
    if before.get("check_rows") is True:
        new = {**new, "check_rows": True}
    return [
        name
        for name, value in new.items()
        if name not in before or canonical(before[name]) != canonical(value)
    ]
