// A planned pass over arrays of NumPy that need no conversion, and the formulas, in one call: for small arrays, calls
// from Python take longer than the pass.
#pragma once

#include <pybind11/pybind11.h>

namespace fastcka {

void bind_plain_pass(pybind11::module_& module);

}  // namespace fastcka
