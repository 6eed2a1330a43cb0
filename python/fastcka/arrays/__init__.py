"""What arrays of other libraries hold, without importing those libraries.

One place decides for `fastcka.core` and `fastcka.store`: which inputs have values that are missing
or not meant as they are stored, which numbers float64 cannot hold, and which rows are the same.
A library is found in `sys.modules`: an array of pandas can only be there if pandas is.
"""

from __future__ import annotations

from fastcka.arrays.exact import MAX_EXACT, exact_floats
from fastcka.arrays.labels import aligned, aligned_to_ids, given_labels
from fastcka.arrays.masked import refuse_special_tensor
from fastcka.arrays.missing import MISSING_ATTRIBUTES, refuse_missing, with_fill_value
from fastcka.arrays.plain import plain_array, unwrapped

__all__ = [
    "MAX_EXACT",
    "MISSING_ATTRIBUTES",
    "aligned",
    "aligned_to_ids",
    "exact_floats",
    "given_labels",
    "plain_array",
    "refuse_missing",
    "refuse_special_tensor",
    "unwrapped",
    "with_fill_value",
]
