"""The key of a capture: everything that decides the captured numbers.

Stored rows are used again only if their key is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fastcka.digests import arrays_digest, text_digest
from fastcka.store.file.jsontext import canonical, checked_factors

if TYPE_CHECKING:
    import torch

    from fastcka.capture.options import CaptureOptions
    from fastcka.capture.probe import Probe

#: Increased whenever a new version of fastcka may capture other numbers for the same key.
CAPTURE_VERSION: Final = 2


def capture_key(
    model: torch.nn.Module,
    probe: Probe,
    options: CaptureOptions,
    factors: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the key of a capture, as JSON types.

    The key covers all parameters and buffers (``weights``); the printed model, and the
    configuration of a Hugging Face model (``network``); the inputs, ids, mask and columns of the
    probe set (``probe``); all options except the batch size; and the factors. It cannot cover the
    code of a ``forward`` method.
    """
    tensors = dict(model.state_dict())
    tensors |= {name: buffer for name, buffer in model.named_buffers() if name not in tensors}
    config = getattr(getattr(model, "config", None), "to_json_string", lambda: "")()
    return {
        "capture_version": CAPTURE_VERSION,
        "weights": arrays_digest(tensors.items()),
        "network": text_digest(f"{model}\n{config}"),
        "probe": probe.digest,
        **options.key(),
        "factors": checked_factors(factors),
    }


def changed_parts(old: object, new: Mapping[str, Any]) -> list[str]:
    """Return the parts of a key that have changed; all parts if ``old`` is no key.

    Rows that were checked also satisfy a capture with ``check_rows=False``.
    """
    before = {"rows": "examples", **old} if isinstance(old, Mapping) else {}
    if before.get("check_rows") is True:
        new = {**new, "check_rows": True}
    return [
        name
        for name, value in new.items()
        if name not in before or canonical(before[name]) != canonical(value)
    ]
