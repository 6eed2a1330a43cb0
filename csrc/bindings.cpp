// The compiled surface of _core: check, release the GIL, call once. No mathematics.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/implementation.hpp"
#include "cpu/pass.hpp"
#include "hsic.hpp"
#include "store/bind.hpp"

namespace py = pybind11;
using fastcka::DType;

namespace {

DType dtype_of(const std::string& name) {
  if (name == "float16") return DType::float16;
  if (name == "bfloat16") return DType::bfloat16;
  if (name == "float32") return DType::float32;
  if (name == "float64") return DType::float64;
  throw std::invalid_argument("dtype must be float16, bfloat16, float32 or float64, got " + name);
}

// (address, n, d, row stride, column stride, dtype, staged), strides in bytes; the caller keeps the memory alive.
using ViewTuple = std::tuple<std::uintptr_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::string, bool>;

fastcka::View view_of(const ViewTuple& tuple) {
  const auto& [address, n, d, row_stride, column_stride, dtype, staged] = tuple;
  const fastcka::View view{
      reinterpret_cast<const void*>(address), n, d, row_stride, column_stride, dtype_of(dtype), staged};
  const std::int64_t line = fastcka::staging_lanes;
  if (n < 1 || d < 1) throw std::invalid_argument("a view needs at least one row and one column");
  if (staged &&
      (view.dtype != DType::float32 || column_stride != 4 || row_stride != (d + line - 1) / line * line * 4)) {
    throw std::invalid_argument("a staged view must be float32 with rows padded to whole cache lines");
  }
  return view;
}

// A NumPy array that owns the vector's memory.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  return py::array_t<T>(std::move(shape), owned->data(), owner);
}

// The first and one past the last byte of a view.
std::pair<std::intptr_t, std::intptr_t> bytes_of(const fastcka::View& view) {
  const std::int64_t item = view.dtype == DType::float64 ? 8 : view.dtype == DType::float32 ? 4 : 2;
  const std::int64_t rows = (view.n - 1) * view.row_stride;
  const std::int64_t columns = (view.d - 1) * view.column_stride;
  const auto address = reinterpret_cast<std::intptr_t>(view.data);
  return {address + std::min<std::int64_t>(rows, 0) + std::min<std::int64_t>(columns, 0),
          address + std::max<std::int64_t>(rows, 0) + std::max<std::int64_t>(columns, 0) + item};
}

// A staged view is overwritten while the others are read.
void refuse_shared_memory(const std::vector<fastcka::View>& views) {
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (!views[i].staged) continue;
    const auto [begin, end] = bytes_of(views[i]);
    for (std::size_t j = 0; j < views.size(); ++j) {
      const auto [other_begin, other_end] = bytes_of(views[j]);
      if (i != j && begin < other_end && other_begin < end) {
        throw std::invalid_argument("representations " + std::to_string(std::min(i, j)) + " and " +
                                    std::to_string(std::max(i, j)) +
                                    " share memory, and a staged representation is overwritten");
      }
    }
  }
}

py::dict run(const std::vector<ViewTuple>& tuples, const std::string& route, std::int64_t tile, std::int64_t chunk,
             bool float64, int threads, const std::string& implementation, const py::object& progress) {
  std::vector<fastcka::View> views;
  for (const ViewTuple& tuple : tuples) {
    views.push_back(view_of(tuple));
    if (views.back().n != views.front().n) throw std::invalid_argument("all views must have the same n");
    if (views.back().staged && float64) throw std::invalid_argument("a float64 pass takes no staged view");
  }
  if (views.empty()) throw std::invalid_argument("at least one view is needed");
  refuse_shared_memory(views);
  if (route != "G" && route != "F") throw std::invalid_argument("route must be G or F");
  if (threads < 1 || threads > 4096) throw std::invalid_argument("threads must be from 1 to 4096");
  const fastcka::cpu::Implementation& table = fastcka::cpu::find_implementation(implementation);
  const std::int64_t lanes = float64 ? table.float64.lanes : table.float32.lanes;
  const std::int64_t step = lanes * (float64 ? table.float64.most_panels : table.float32.most_panels);
  if (tile < 1 || tile % step != 0) {
    throw std::invalid_argument("tile must be a positive multiple of " + std::to_string(step));
  }
  if (chunk < 1) throw std::invalid_argument("chunk must be positive");
  for (const fastcka::View& view : views) {
    if (view.staged && lanes != fastcka::staging_lanes) {
      throw std::invalid_argument("implementation " + implementation + " takes no staged view");
    }
  }
  const fastcka::cpu::Request request{
      route == "G" ? fastcka::Route::gram : fastcka::Route::features, tile, chunk, float64, threads, implementation};
  // Called by the pass on this thread, between pieces of work of some milliseconds.
  // Signals are the main thread's. Another thread takes the GIL only to report: a daemon thread that waits for it while
  // the interpreter goes down would be ended there, and the process with it.
  const bool poll_signals = py::module_::import("threading")
                                .attr("current_thread")()
                                .is(py::module_::import("threading").attr("main_thread")());
  const fastcka::Poll poll = [&progress, wanted = poll_signals || !progress.is_none()](std::int64_t done,
                                                                                       std::int64_t total) {
    if (!wanted) return;
    const py::gil_scoped_acquire hold;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (total > 0 && !progress.is_none()) progress(done, total);
  };

  fastcka::Sums sums;
  {
    // The pass touches no Python object: the views are plain memory that the caller holds.
    const py::gil_scoped_release release;
    sums = fastcka::cpu::run(views, request, poll);
  }

  py::dict result;
  py::list non_finite;
  for (const fastcka::NonFinite& found : sums.non_finite) {
    non_finite.append(py::make_tuple(found.representation, found.count, found.row, found.column));
  }
  result["non_finite"] = non_finite;
  if (!sums.non_finite.empty()) return result;
  const auto m = static_cast<py::ssize_t>(views.size());
  result["s0"] = to_array(std::move(sums.s0), {m, m});
  result["k"] = to_array(std::move(sums.k), {m, static_cast<py::ssize_t>(views.front().n)});
  result["norms"] = to_array(std::move(sums.norms), {m, m});
  result["exponent"] = to_array(std::move(sums.exponent), {m});
  result["constant"] = sums.constant;
  return result;
}

py::list implementations() {
  py::list tables;
  for (const fastcka::cpu::Implementation* table : fastcka::cpu::available_implementations()) {
    py::dict entry;
    entry["name"] = table->name;
    // (lanes, step of a tile) of the float32 and the float64 products
    const auto& [single, twice] = std::tie(table->float32, table->float64);
    entry["granularity"] = py::make_tuple(py::make_tuple(single.lanes, single.lanes * single.most_panels),
                                          py::make_tuple(twice.lanes, twice.lanes * twice.most_panels));
    tables.append(entry);
  }
  return tables;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The fused pass on the CPU. Use fastcka.compare; this surface may change.";
  module.attr("version") = FASTCKA_VERSION;
  module.attr("compiler") = FASTCKA_COMPILER;
  module.attr("staging_lanes") = fastcka::staging_lanes;
  module.def("implementations", &implementations,
             "The implementations of the inner loops that this processor can run, the preferred one first.");
  module.def("run", &run, py::arg("views"), py::kw_only(), py::arg("route"), py::arg("tile"), py::arg("chunk"),
             py::arg("float64"), py::arg("threads"), py::arg("implementation"), py::arg("progress"),
             "S0 and k of all representations; see csrc/hsic.hpp.");
  fastcka::store::bind(module);
}
