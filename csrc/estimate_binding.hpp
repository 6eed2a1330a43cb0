// The formulas over sums of a pass, for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace fastcka {

void bind_estimate(pybind11::module_& module);

}  // namespace fastcka
