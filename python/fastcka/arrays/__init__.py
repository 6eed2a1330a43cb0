"""Reading arrays of other libraries without importing those libraries.

`fastcka.core` and `fastcka.store` share this code. It decides which inputs contain missing or
packed values, which numbers float64 cannot represent, and which rows have the same labels. A
library is looked up in `sys.modules`: a pandas table can exist only if pandas was imported.
"""

from __future__ import annotations

from fastcka.arrays.exact import MAX_EXACT, exact_floats
from fastcka.arrays.labels import aligned, aligned_to_ids, coordinates_of, given_labels
from fastcka.arrays.mappings import brief, mapping_of
from fastcka.arrays.masked import refuse_special_tensor
from fastcka.arrays.missing import MISSING_ATTRIBUTES, refuse_missing, with_fill_value
from fastcka.arrays.plain import no_array, plain_array, unwrapped
from fastcka.arrays.rows import Rows, SlicedRows, rows_of

__all__ = [
    "MAX_EXACT",
    "MISSING_ATTRIBUTES",
    "Rows",
    "SlicedRows",
    "aligned",
    "aligned_to_ids",
    "brief",
    "coordinates_of",
    "exact_floats",
    "given_labels",
    "mapping_of",
    "no_array",
    "plain_array",
    "refuse_missing",
    "refuse_special_tensor",
    "rows_of",
    "unwrapped",
    "with_fill_value",
]
