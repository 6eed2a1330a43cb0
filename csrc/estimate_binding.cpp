#include "estimate_binding.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "estimate.hpp"
#include "python_array.hpp"

namespace py = pybind11;

namespace fastcka {
namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<int, py::array::c_style | py::array::forcecast>;

// Null for an array that is not there; throws std::invalid_argument for one of another shape.
const double* data_of(const std::optional<Doubles>& array, std::vector<py::ssize_t> shape) {
  if (!array.has_value()) return nullptr;
  if (!std::equal(shape.begin(), shape.end(), array->shape(), array->shape() + array->ndim())) {
    throw std::invalid_argument("the sums of m representations must have shape (m, m) or (m)");
  }
  return array->data();
}

py::tuple estimates_of(const std::string& estimator, std::int64_t n, const Doubles& s0, const Doubles& norms,
                       const Doubles& r_products, const Doubles& r_totals, const std::optional<Doubles>& q_products,
                       const std::optional<Doubles>& q_totals, const Doubles& summed, const Doubles& near_norms,
                       const Integers& exponent, double zero, double condition, double excess) {
  const py::ssize_t m = exponent.size();
  if ((estimator != "biased" && estimator != "unbiased") || exponent.ndim() != 1 ||
      q_products.has_value() != q_totals.has_value()) {
    throw std::invalid_argument("expected an estimator, exponents (m) and both q_products and q_totals or neither");
  }
  const Terms terms{n,
                    m,
                    data_of(s0, {m, m}),
                    data_of(norms, {m, m}),
                    data_of(r_products, {m, m}),
                    data_of(r_totals, {m}),
                    data_of(q_products, {m, m}),
                    data_of(q_totals, {m}),
                    data_of(summed, {m}),
                    data_of(near_norms, {m}),
                    exponent.data()};
  Estimates estimates =
      estimate(terms, estimator == "biased" ? Estimator::biased : Estimator::unbiased, {zero, condition, excess});
  py::object worst = py::none();
  if (estimates.worst.first >= 0) {
    worst = py::make_tuple(estimates.worst.first, estimates.worst.second, estimates.value);
  }
  return py::make_tuple(to_array(std::move(estimates.hsic), {m, m}), to_array(std::move(estimates.cka), {m, m}),
                        estimates.undefined, worst);
}

}  // namespace

void bind_estimate(py::module_& module) {
  module.def("estimate", &estimates_of, py::arg("estimator"), py::arg("n"), py::arg("s0"), py::arg("norms"),
             py::arg("r_products"), py::arg("r_totals"), py::arg("q_products"), py::arg("q_totals"), py::arg("summed"),
             py::arg("near_norms"), py::arg("exponent"), py::arg("zero"), py::arg("condition"), py::arg("excess"),
             "HSIC and CKA of sums, the positions where CKA is undefined, and a similarity that rounding does not "
             "explain; see csrc/estimate.hpp.");
}

}  // namespace fastcka
