// The results of a pass as a dict of NumPy arrays.
#pragma once

#include <pybind11/pybind11.h>

#include "cpu/pass.hpp"

namespace fastcka {

// "seconds", and the sums by their names in csrc/hsic.hpp, or "non_finite" if there are none.
pybind11::dict to_dict(cpu::Result&& result);

}  // namespace fastcka
