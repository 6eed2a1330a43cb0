"""The field ``inference`` of ``sweep.yaml``."""

from __future__ import annotations

from fastcka.core.inference.options import Inference, parse_inference

_INFERENCE = ("alternative", "level", "folds", "blocks")
_KEYS = "alternative, level, folds or blocks"


def parse_field(value: object) -> object:
    """Return the options of the field; `ValueError` or `InputError` if they are not allowed."""
    if not isinstance(value, dict):
        if value is None or isinstance(value, bool | Inference):
            return parse_inference(value)
        raise ValueError(f"expected true, false or a mapping with {_KEYS}")
    unknown = [name for name in value if name not in _INFERENCE]
    if unknown:
        raise ValueError(f"expected {_KEYS}, got the key '{unknown[0]}'")
    blocks = value.get("blocks")
    if blocks is not None and not isinstance(blocks, str):
        raise ValueError(f"blocks: expected the name of an example column, got {blocks!r}")
    return Inference(**value)  # its error names the option
