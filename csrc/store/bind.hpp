// The functions that csrc/store adds to _core.
#pragma once

#include <pybind11/pybind11.h>

namespace fastcka::store {

void bind(pybind11::module_& module);

}  // namespace fastcka::store
