"""The four stored dtypes of representations, among them bfloat16, which NumPy lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STORED_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}
"""Name of a stored dtype -> NumPy dtype of its values in a file; bfloat16 as bits."""

_BFLOAT16_EXPONENT: Final = np.uint16(0x7F80)


def float32_of_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 values of bfloat16 bits; exact, as bfloat16 is float32's upper half."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def non_finite(values: NDArray[Any], dtype: str) -> NDArray[np.bool_]:
    """Return a mask of the stored values that are NaN or infinite."""
    if dtype == "bfloat16":
        bad: NDArray[np.bool_] = (values & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT
        return bad
    bad = np.isfinite(values)
    return np.logical_not(bad, out=bad)
