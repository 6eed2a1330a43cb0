// The part of the compiled surface of _core that permutes examples.
#pragma once

#include <pybind11/pybind11.h>

namespace fastcka {

void bind_permuted(pybind11::module_& module);

}  // namespace fastcka
