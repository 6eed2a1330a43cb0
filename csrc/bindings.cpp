// The compiled surface of _core: check, release the GIL, call once. No mathematics.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "cpu/implementation.hpp"
#include "cpu/pass.hpp"
#include "cpu/speed.hpp"
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

// For each group why it must not be computed, or nothing: a staged view is overwritten while others are read.
std::vector<std::string> refuse_shared_memory(const std::vector<fastcka::cpu::Group>& groups) {
  struct Extent {
    std::intptr_t begin, end;
    std::size_t group, view;
    bool staged;
  };
  std::vector<Extent> extents;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const std::vector<fastcka::View>& views = groups[group].views;
    for (std::size_t view = 0; view < views.size(); ++view) {
      const auto [begin, end] = bytes_of(views[view]);
      extents.push_back({begin, end, group, view, views[view].staged});
    }
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.begin, a.group, a.view) < std::tie(b.begin, b.group, b.view);
  });

  std::vector<std::string> refused(groups.size());
  const auto refuse = [&](const Extent& one, const Extent& other) {
    const std::string overwritten = ", and a staged representation is overwritten";
    if (one.group == other.group) {
      refused[one.group] = "representations " + std::to_string(std::min(one.view, other.view)) + " and " +
                           std::to_string(std::max(one.view, other.view)) + " share memory" + overwritten;
      return;
    }
    for (const auto& [own, its] : {std::tie(one, other), std::tie(other, one)}) {
      refused[own.group] = "representation " + std::to_string(own.view) + " shares memory with representation " +
                           std::to_string(its.view) + " of a group in the same call" + overwritten;
    }
  };
  // Of those that begin before an extent, the one that reaches furthest overlaps it if any does.
  const Extent* furthest = nullptr;
  const Extent* furthest_staged = nullptr;
  for (const Extent& extent : extents) {
    const Extent* before = extent.staged ? furthest : furthest_staged;
    if (before != nullptr && extent.begin < before->end) refuse(*before, extent);
    if (furthest == nullptr || extent.end > furthest->end) furthest = &extent;
    if (extent.staged && (furthest_staged == nullptr || extent.end > furthest_staged->end)) furthest_staged = &extent;
  }
  return refused;
}

// What the planner must know of products.
struct Panels {
  std::string products;
  std::int64_t lanes, rows, step, values, cell_bytes;
  bool arranged;
};

template <class T>
Panels describe(const fastcka::cpu::Products<T>& products) {
  return {products.name,
          products.lanes,
          products.rows,
          products.lanes * products.most_panels,
          products.values,
          products.cell_bytes,
          products.arrange != nullptr};
}

Panels panels_of(const std::string& implementation, const std::string& products) {
  const fastcka::cpu::Implementation& table = fastcka::cpu::find_implementation(implementation);
  return products == table.float64.name ? describe(table.float64) : describe(table.single(products));
}

py::object to_tuple(const Panels& panels) {
  return py::make_tuple(panels.products, panels.lanes, panels.rows, panels.step, panels.values, panels.cell_bytes,
                        panels.arranged);
}

// (views, route, tile, chunk, implementation, products)
using GroupTuple =
    std::tuple<std::vector<ViewTuple>, std::string, std::int64_t, std::int64_t, std::string, std::string>;

fastcka::cpu::Group group_of(const GroupTuple& tuple) {
  const auto& [view_tuples, route, tile, chunk, implementation, products] = tuple;
  std::vector<fastcka::View> views;
  for (const ViewTuple& view : view_tuples) {
    views.push_back(view_of(view));
    if (views.back().n != views.front().n) throw std::invalid_argument("all views must have the same n");
  }
  if (views.empty()) throw std::invalid_argument("at least one view is needed");
  if (route != "G" && route != "F") throw std::invalid_argument("route must be G or F");
  const Panels panels = panels_of(implementation, products);
  if (tile < 1 || tile % panels.step != 0) {
    throw std::invalid_argument("tile must be a positive multiple of " + std::to_string(panels.step));
  }
  if (chunk < 1 || chunk % panels.values != 0) {
    throw std::invalid_argument("chunk must be a positive multiple of " + std::to_string(panels.values));
  }
  for (const fastcka::View& view : views) {
    if (view.staged && (panels.lanes != fastcka::staging_lanes || products == "float64")) {
      throw std::invalid_argument(products + " products of " + implementation + " take no staged view");
    }
  }
  return {std::move(views),
          {route == "G" ? fastcka::Route::gram : fastcka::Route::features, tile, chunk, implementation, products}};
}

py::dict to_dict(fastcka::cpu::Result&& result, const fastcka::cpu::Group& group) {
  fastcka::Sums& sums = result.sums;
  py::dict told;
  told["seconds"] = result.seconds;
  if (!sums.non_finite.empty()) {
    py::list non_finite;
    for (const fastcka::NonFinite& found : sums.non_finite) {
      non_finite.append(py::make_tuple(found.representation, found.count, found.row, found.column));
    }
    told["non_finite"] = non_finite;
    return told;
  }
  const auto m = static_cast<py::ssize_t>(group.views.size());
  told["s0"] = to_array(std::move(sums.s0), {m, m});
  told["norms"] = to_array(std::move(sums.norms), {m, m});
  told["k_totals"] = to_array(std::move(sums.k_totals), {m});
  told["summed"] = to_array(std::move(sums.summed), {m});
  if (!sums.q_totals.empty()) {
    told["q_products"] = to_array(std::move(sums.q_products), {m, m});
    told["q_totals"] = to_array(std::move(sums.q_totals), {m});
    told["r_products"] = to_array(std::move(sums.r_products), {m, m});
    told["r_totals"] = to_array(std::move(sums.r_totals), {m});
    told["near_norms"] = to_array(std::move(sums.near_norms), {m});
  }
  told["exponent"] = to_array(std::move(sums.exponent), {m});
  told["constant"] = sums.constant;
  return told;
}

py::list run(const std::vector<GroupTuple>& tuples, int threads, const py::object& progress) {
  if (threads < 1 || threads > 4096) throw std::invalid_argument("threads must be from 1 to 4096");
  std::vector<fastcka::cpu::Group> groups;
  for (const GroupTuple& tuple : tuples) groups.push_back(group_of(tuple));
  const std::vector<std::string> refused = refuse_shared_memory(groups);
  std::vector<fastcka::cpu::Group> accepted;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (refused[i].empty()) accepted.push_back(std::move(groups[i]));
  }
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

  std::vector<fastcka::cpu::Result> results;
  if (!accepted.empty()) {
    // The pass touches no Python object: the views are plain memory that the caller holds.
    const py::gil_scoped_release release;
    results = fastcka::cpu::run(accepted, threads, poll);
  }

  py::list told;
  std::size_t next = 0;
  for (const std::string& reason : refused) {
    if (!reason.empty()) {
      py::dict only;
      only["refused"] = reason;
      told.append(only);
      continue;
    }
    told.append(to_dict(std::move(results[next]), accepted[next]));
    ++next;
  }
  return told;
}

py::dict measure_speed(const std::string& implementation, const std::string& products, int threads) {
  fastcka::cpu::Speed speed;
  {
    const py::gil_scoped_release release;
    speed = fastcka::cpu::measure_speed(implementation, products, threads);
  }
  py::dict result;
  result["steps"] = speed.steps;
  result["call"] = speed.call;
  result["rank"] = speed.rank;
  result["statistics"] = speed.statistics;
  result["center"] = speed.center;
  return result;
}

py::list implementations() {
  py::list tables;
  for (const fastcka::cpu::Implementation* table : fastcka::cpu::available_implementations()) {
    py::dict entry;
    entry["name"] = table->name;
    entry["float64"] = to_tuple(describe(table->float64));
    entry["float32"] = to_tuple(describe(table->float32));
    entry["fast"] = table->fast.name == nullptr ? py::object(py::none()) : to_tuple(describe(table->fast));
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
  module.def("measure_speed", &measure_speed, py::arg("implementation"), py::arg("products"), py::arg("threads"),
             "How fast an implementation runs here, in some milliseconds; see csrc/cpu/speed.hpp.");
  module.def("run", &run, py::arg("groups"), py::kw_only(), py::arg("threads"), py::arg("progress"),
             "The sums of the representations of each group; see csrc/hsic.hpp.");
  fastcka::store::bind(module);
}
