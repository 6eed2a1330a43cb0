#include "permuted_binding.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/permute.hpp"
#include "python_array.hpp"
#include "python_poll.hpp"

namespace py = pybind11;
using fastcka::cpu::Permuted;

namespace fastcka {
namespace {

std::unique_ptr<Permuted> make_permuted(const std::vector<View>& views, const std::string& estimator,
                                        const std::string& implementation, const std::string& products, int threads,
                                        const py::object& progress) {
  if (views.size() < 2 || threads < 1) throw std::invalid_argument("at least two views and one thread are needed");
  for (const View& view : views) {
    if (view.n != views.front().n || view.staged || view.n > cpu::most_permuted) {
      throw std::invalid_argument("all views must have the same n, at most " + std::to_string(cpu::most_permuted) +
                                  ", and none may be staged");
    }
  }
  const Poll poll = make_poll(progress);
  const py::gil_scoped_release release;  // no Python object is touched: the caller keeps the views alive
  return cpu::make_permuted(views, estimator == "biased" ? Estimator::biased : Estimator::unbiased, implementation,
                            products, threads, poll);
}

using Permutations = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;

py::array_t<double> permuted_similarities(const Permuted& permuted, const Permutations& permutations, int threads,
                                          const py::object& progress) {
  const std::int64_t n = permuted.n();
  if (permutations.ndim() != 2 || permutations.shape(1) != n || threads < 1) {
    throw std::invalid_argument("expected permutations (count, n) and at least one thread");
  }
  const std::int64_t count = permutations.shape(0);
  const std::int32_t* data = permutations.data();
  if (!std::all_of(data, data + count * n, [n](std::int32_t a) { return a >= 0 && a < n; })) {
    throw std::invalid_argument("permutations must contain positions from 0 to n-1");
  }
  const Poll poll = make_poll(progress);
  std::vector<double> values;
  {
    const py::gil_scoped_release release;  // the caller holds the permutations
    values = permuted.similarities(data, count, threads, poll);
  }
  return to_array(std::move(values), {count, permuted.m() * (permuted.m() - 1) / 2});
}

}  // namespace

void bind_permuted(py::module_& module) {
  py::class_<Permuted>(module, "Permuted", py::module_local(),
                       "Centred Gram matrices, and similarities under permutations; see csrc/cpu/permute.hpp.")
      .def(py::init(&make_permuted), py::arg("views"), py::kw_only(), py::arg("estimator"), py::arg("implementation"),
           py::arg("products"), py::arg("threads"), py::arg("progress"))
      .def("similarities", &permuted_similarities, py::arg("permutations"), py::kw_only(), py::arg("threads"),
           py::arg("progress"));
  module.attr("most_permuted") = cpu::most_permuted;
  module.def("permuted_gram_bytes", &cpu::permuted_gram_bytes, py::arg("n"), py::arg("m"), py::arg("value_bytes"),
             "Bytes of the Gram matrices.");
  module.def("permuted_thread_bytes", &cpu::permuted_thread_bytes, py::arg("n"), py::arg("m"), py::arg("count"),
             py::arg("value_bytes"), "Bytes of one thread for `count` permutations.");
}

}  // namespace fastcka
