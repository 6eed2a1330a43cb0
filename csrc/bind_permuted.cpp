#include "bind_permuted.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/permute.hpp"
#include "estimate.hpp"
#include "hsic.hpp"
#include "python_poll.hpp"

namespace py = pybind11;
using fastcka::View;
using fastcka::cpu::Permuted;

namespace fastcka {
namespace {

std::unique_ptr<Permuted> make_permuted(const std::vector<View>& views, const std::string& estimator,
                                        const std::string& implementation, const std::string& products, int threads,
                                        const py::object& progress) {
  if (views.size() < 2 || threads < 1) throw std::invalid_argument("at least two views and one thread are needed");
  for (const View& view : views) {
    if (view.n != views.front().n || view.staged || view.n > fastcka::cpu::most_permuted) {
      throw std::invalid_argument("the views must have the same n, at most 65536, and none may be staged");
    }
  }
  const fastcka::Poll poll = fastcka::make_poll(progress);
  const py::gil_scoped_release release;
  return fastcka::cpu::make_permuted(views,
                                     estimator == "biased" ? fastcka::Estimator::biased : fastcka::Estimator::unbiased,
                                     implementation, products, threads, poll);
}

py::array_t<double> permuted_similarities(
    const Permuted& permuted, const py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>& permutations,
    int threads, const py::object& progress) {
  const std::int64_t n = permuted.n();
  if (permutations.ndim() != 2 || permutations.shape(1) != n || threads < 1) {
    throw std::invalid_argument("expected permutations (count, n) and at least one thread");
  }
  const std::int64_t count = permutations.shape(0);
  const std::int32_t* data = permutations.data();
  if (!std::all_of(data, data + count * n, [n](std::int32_t a) { return a >= 0 && a < n; })) {
    throw std::invalid_argument("permutations must hold positions from 0 to n-1");
  }
  const fastcka::Poll poll = fastcka::make_poll(progress);
  std::vector<double> values;
  {
    const py::gil_scoped_release release;
    values = permuted.similarities(data, count, threads, poll);
  }
  auto* owned = new std::vector<double>(std::move(values));
  const py::capsule owner(owned, [](void* vector) { delete static_cast<std::vector<double>*>(vector); });
  const std::vector<py::ssize_t> shape{count, permuted.m() * (permuted.m() - 1) / 2};
  return py::array_t<double>(shape, owned->data(), owner);
}

}  // namespace

void bind_permuted(py::module_& module) {
  py::class_<Permuted>(module, "Permuted", py::module_local(),
                       "Centred Gram matrices, and similarities under permutations; see csrc/cpu/permute.hpp.")
      .def(py::init(&make_permuted), py::arg("views"), py::kw_only(), py::arg("estimator"), py::arg("implementation"),
           py::arg("products"), py::arg("threads"), py::arg("progress"))
      .def("similarities", &permuted_similarities, py::arg("permutations"), py::kw_only(), py::arg("threads"),
           py::arg("progress"));
  module.attr("most_permuted") = fastcka::cpu::most_permuted;
  module.def("permuted_gram_bytes", &fastcka::cpu::permuted_gram_bytes, py::arg("n"), py::arg("m"),
             py::arg("value_bytes"));
  module.def("permuted_thread_bytes", &fastcka::cpu::permuted_thread_bytes, py::arg("n"), py::arg("m"),
             py::arg("count"), py::arg("value_bytes"));
}

}  // namespace fastcka
