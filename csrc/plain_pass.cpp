#include "plain_pass.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cpu/pass.hpp"
#include "estimate.hpp"
#include "python_array.hpp"
#include "python_poll.hpp"
#include "sums_binding.hpp"

namespace py = pybind11;

namespace fastcka {
namespace {

class PlainPass {
 public:
  // The views of the task have the shapes and dtypes of the arrays.
  PlainPass(cpu::Task task, double zero, double condition, double excess)
      : task_(std::move(task)), tolerance_{zero, condition, excess} {
    if (task_.views.front().n < 4) throw std::invalid_argument("both estimators need at least 4 examples");
    for (const View& view : task_.views) {
      if (view.staged) throw std::invalid_argument("a plain pass takes no staged view");
    }
  }

  // HSIC and CKA of all pairs by the biased estimator, by the unbiased one, and the sums (None unless they are asked
  // for). None if the values need the usual way: they are not finite, or an estimate is undefined or out of its range.
  py::object run(const py::sequence& arrays, bool with_sums) const {
    std::vector<cpu::Task> tasks{task_};
    tasks.front().settings.column_terms = with_sums;
    std::vector<View>& views = tasks.front().views;
    if (arrays.size() != views.size()) throw std::invalid_argument("expected one array for each view");
    std::vector<py::array> owners;  // keep the memory alive
    for (std::size_t i = 0; i < views.size(); ++i) {
      View& view = views[i];
      owners.push_back(py::cast<py::array>(arrays[i]));
      const py::array& array = owners.back();
      if (array.ndim() != 2 || array.shape(0) != view.n || array.shape(1) != view.d ||
          array.itemsize() != item_bytes(view.dtype)) {
        throw std::invalid_argument("an array differs from its view in shape or dtype");
      }
      view.data = array.data();
      view.row_stride = array.strides(0);
      view.column_stride = array.strides(1);
    }
    const py::none no_progress;
    const Poll poll = make_poll(no_progress);
    cpu::Result result;
    Estimates biased;
    Estimates unbiased;
    {
      // The pass touches no Python object: `owners` keep the memory of the views alive.
      const py::gil_scoped_release release;
      result = std::move(cpu::run(tasks, 1, poll).front());
      if (result.sums.non_finite.empty()) {
        const Terms terms = terms_of(result.sums, views.front().n);
        biased = estimate(terms, Estimator::biased, tolerance_);
        unbiased = estimate(terms, Estimator::unbiased, tolerance_);
      }
    }
    if (!result.sums.non_finite.empty() || !is_usual(biased) || !is_usual(unbiased)) return py::none();
    const auto m = static_cast<py::ssize_t>(views.size());
    const auto matrix = [m](std::vector<double>& values) { return to_array(std::move(values), {m, m}); };
    return py::make_tuple(matrix(biased.hsic), matrix(biased.cka), matrix(unbiased.hsic), matrix(unbiased.cka),
                          with_sums ? py::object(to_dict(std::move(result))) : py::none());
  }

 private:
  static bool is_usual(const Estimates& estimates) { return estimates.undefined.empty() && estimates.worst.first < 0; }

  const cpu::Task task_;
  const Tolerance tolerance_;
};

}  // namespace

void bind_plain_pass(py::module_& module) {
  py::class_<PlainPass>(module, "PlainPass", py::module_local(), "See csrc/plain_pass.hpp.")
      .def(py::init<cpu::Task, double, double, double>(), py::arg("task"), py::kw_only(), py::arg("zero"),
           py::arg("condition"), py::arg("excess"))
      .def("run", &PlainPass::run, py::arg("arrays"), py::arg("with_sums"));
}

}  // namespace fastcka
