// The compiled surface of _core: check, release the GIL, call once. No mathematics.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/features.hpp"
#include "cpu/gain.hpp"
#include "cpu/gather.hpp"
#include "cpu/gram.hpp"
#include "cpu/loops/implementation.hpp"
#include "cpu/overlap.hpp"
#include "cpu/pass.hpp"
#include "cpu/speed.hpp"
#include "cpu/threads/memory.hpp"
#include "estimate_binding.hpp"
#include "far_rule.hpp"
#include "hsic.hpp"
#include "permuted_binding.hpp"
#include "plain_pass.hpp"
#include "python_poll.hpp"
#include "store/bind.hpp"
#include "sums_binding.hpp"

namespace py = pybind11;
using fastcka::DType;
using fastcka::Route;
using fastcka::View;
using fastcka::cpu::Implementation;
using fastcka::cpu::ProductShape;
using fastcka::cpu::Task;

namespace {

Route parse_route(const std::string& name) {
  if (name == "G") return Route::gram;
  if (name == "F") return Route::features;
  throw std::invalid_argument("route must be G or F, got " + name);
}

std::vector<Route> parse_routes(const std::vector<std::string>& names) {
  std::vector<Route> routes;
  for (const std::string& name : names) routes.push_back(parse_route(name));
  return routes;
}

// Strides in bytes. The caller keeps the memory alive.
View make_view(std::uintptr_t address, std::int64_t n, std::int64_t d, std::int64_t row_stride,
               std::int64_t column_stride, const std::string& dtype, bool staged) {
  const View view{
      reinterpret_cast<const void*>(address), n, d, row_stride, column_stride, fastcka::parse_dtype(dtype), staged};
  if (n < 1 || d < 1) throw std::invalid_argument("a view needs at least one row and one column");
  const std::int64_t pitch = fastcka::round_up(d, fastcka::staging_lanes) * 4;
  if (staged && (view.dtype != DType::float32 || column_stride != 4 || row_stride != pitch)) {
    throw std::invalid_argument("a staged view must be float32 with rows padded to whole cache lines");
  }
  return view;
}

Task make_task(std::vector<View> views, const std::string& route, std::int64_t tile, std::int64_t chunk,
               std::int64_t batch, const std::string& implementation, const std::string& products,
               const std::vector<std::string>& moment_routes, std::vector<std::int64_t> folds, bool nested) {
  if (views.empty()) throw std::invalid_argument("at least one view is needed");
  const ProductShape shape = fastcka::cpu::find_implementation(implementation).shape(products);
  for (const View& view : views) {
    if (view.n != views.front().n) throw std::invalid_argument("all views must have the same n");
    if (view.staged && !shape.in_place) {
      throw std::invalid_argument(products + " products of " + implementation + " take no staged view");
    }
  }
  if (tile < 1 || tile % shape.step != 0) {
    throw std::invalid_argument("tile must be a positive multiple of " + std::to_string(shape.step));
  }
  if (chunk < 1 || chunk % shape.values != 0) {
    throw std::invalid_argument("chunk must be a positive multiple of " + std::to_string(shape.values));
  }
  if (batch < 0 || (batch > 0 && route == "F")) throw std::invalid_argument("batch must be 0, or positive in route G");
  if (!moment_routes.empty() && moment_routes.size() != views.size()) {
    throw std::invalid_argument("moment_routes must be empty, or one for each view");
  }
  for (std::size_t i = 0; i < moment_routes.size(); ++i) {
    if (moment_routes[i] == "F" && views[i].d > views[i].n) {
      throw std::invalid_argument("moment_routes must be G for more features than examples");
    }
  }
  fastcka::Subsets subsets{std::move(folds), 0, nested};
  if (!subsets.fold.empty()) {
    const auto [least, most] = std::minmax_element(subsets.fold.begin(), subsets.fold.end());
    const bool staged = std::any_of(views.begin(), views.end(), [](const View& view) { return view.staged; });
    if (static_cast<std::int64_t>(subsets.fold.size()) != views.front().n || *least < 0 || staged) {
      throw std::invalid_argument("folds must be one number from 0 on for each example, without staged views");
    }
    subsets.count = *most + 1;
  }
  return {std::move(views),
          {parse_route(route), tile, chunk, batch, implementation, products, parse_routes(moment_routes)},
          std::move(subsets)};
}

py::list run(const std::vector<Task>& tasks, int threads, const py::object& progress) {
  if (threads < 1 || threads > 4096) throw std::invalid_argument("threads must be from 1 to 4096");
  const std::vector<std::string> refused = fastcka::cpu::refuse_shared_memory(tasks);
  std::vector<Task> accepted;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (refused[i].empty()) accepted.push_back(tasks[i]);
  }
  const fastcka::Poll poll = fastcka::make_poll(progress);
  std::vector<fastcka::cpu::Result> results;
  if (!accepted.empty()) {
    // The pass touches no Python object: the views are plain memory that the caller keeps alive.
    const py::gil_scoped_release release;
    results = fastcka::cpu::run(accepted, threads, poll);
  }

  py::list outcomes;
  std::size_t next = 0;
  for (const std::string& reason : refused) {
    if (!reason.empty()) {
      py::dict refusal;
      refusal["refused"] = reason;
      outcomes.append(refusal);
      continue;
    }
    outcomes.append(fastcka::to_dict(std::move(results[next])));
    ++next;
  }
  return outcomes;
}

py::dict bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route,
                      std::int64_t tile, std::int64_t chunk, std::int64_t batch, bool in_place,
                      const std::vector<std::string>& moment_routes, std::int64_t subsets, const ProductShape& shape) {
  if (n < 1 || widths.empty() || *std::min_element(widths.begin(), widths.end()) < 1) {
    throw std::invalid_argument("a pass needs at least one example, one representation and one feature in each");
  }
  if (!moment_routes.empty() && moment_routes.size() != widths.size()) {
    throw std::invalid_argument("moment_routes must be empty, or one for each width");
  }
  const fastcka::cpu::PassBytes needed = fastcka::cpu::bytes_needed(
      n, widths, parse_route(route), tile, chunk, batch, in_place, parse_routes(moment_routes), subsets, shape);
  py::dict bytes;
  bytes["centered"] = needed.centered;
  bytes["thread"] = needed.thread;
  bytes["sums"] = needed.sums;
  bytes["statistics"] = needed.statistics;
  bytes["results"] = needed.results;
  return bytes;
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
  result["entries"] = speed.entries;
  return result;
}

void gather(const std::vector<View>& views, const std::vector<std::int64_t>& offsets,
            py::array_t<std::uint8_t, py::array::c_style>& out, int threads) {
  auto* buffer = reinterpret_cast<char*>(out.mutable_data());
  const std::int64_t size = out.size();
  const py::none no_progress;
  const fastcka::Poll poll = fastcka::make_poll(no_progress);
  const py::gil_scoped_release release;  // no Python object is touched: the caller holds the arrays
  fastcka::cpu::gather(views, offsets, buffer, size, threads, poll);
}

py::list implementations() {
  py::list tables;
  for (const Implementation* table : fastcka::cpu::available_implementations()) {
    py::dict entry;
    entry["name"] = table->name;
    entry["float64"] = shape_of(table->float64);
    entry["float32"] = shape_of(table->float32);
    const auto shape_or_none = [](const fastcka::cpu::Kernels<float>& kernels) {
      return kernels.name == nullptr ? py::object(py::none()) : py::cast(shape_of(kernels));
    };
    entry["split"] = shape_or_none(table->split);
    entry["fast"] = shape_or_none(table->fast);
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
  module.attr("gram_product_steps") = fastcka::cpu::gram_product_steps;
  module.attr("feature_product_steps") = fastcka::cpu::feature_product_steps;
  py::class_<ProductShape>(module, "ProductShape", py::module_local(),
                           "How one kind of products takes its operands; see csrc/cpu/loops/implementation.hpp.")
      .def(py::init([](std::string products, std::int64_t lanes, std::int64_t rows, std::int64_t step,
                       std::int64_t values, std::int64_t cell_bytes, std::int64_t sum_bytes,
                       std::int64_t arranged_bytes, bool in_place) {
             return ProductShape{std::move(products), lanes,     rows,           step,    values,
                                 cell_bytes,          sum_bytes, arranged_bytes, in_place};
           }),
           py::kw_only(), py::arg("products"), py::arg("lanes"), py::arg("rows"), py::arg("step"), py::arg("values"),
           py::arg("cell_bytes"), py::arg("sum_bytes"), py::arg("arranged_bytes") = 0, py::arg("in_place") = false)
      .def_readonly("products", &ProductShape::products)
      .def_readonly("lanes", &ProductShape::lanes)
      .def_readonly("rows", &ProductShape::rows)
      .def_readonly("step", &ProductShape::step)
      .def_readonly("values", &ProductShape::values)
      .def_readonly("sum_bytes", &ProductShape::sum_bytes)
      .def_readonly("arranged_bytes", &ProductShape::arranged_bytes)
      .def_readonly("in_place", &ProductShape::in_place);
  py::class_<View>(module, "View", py::module_local(), "A representation in the caller's memory.")
      .def(py::init(&make_view), py::arg("address"), py::arg("n"), py::arg("d"), py::arg("row_stride"),
           py::arg("column_stride"), py::arg("dtype"), py::arg("staged"));
  py::class_<Task>(module, "Task", py::module_local(), "A group of representations, and how its pass runs.")
      .def(py::init(&make_task), py::arg("views"), py::arg("route"), py::arg("tile"), py::arg("chunk"),
           py::arg("batch"), py::arg("implementation"), py::arg("products"), py::arg("moment_routes"),
           py::arg("folds") = std::vector<std::int64_t>(), py::arg("nested") = false);
  module.def("implementations", &implementations,
             "The implementations of the inner loops that this processor can run, the preferred one first.");
  module.def("measure_speed", &measure_speed, py::arg("implementation"), py::arg("products"), py::arg("threads"),
             "How fast an implementation runs here, in some milliseconds; see csrc/cpu/speed.hpp.");
  module.attr("far_from") = fastcka::far_from;
  module.def("most_far", &fastcka::most_far, py::arg("n"), "Most examples that are far; see csrc/far_rule.hpp.");
  module.attr("most_kept") = fastcka::cpu::most_kept;
  module.def("release_kept", &fastcka::cpu::release_kept,
             "Gives the memory that is kept for the next pass back to the system; returns its bytes.");
  module.def("gain_of", &fastcka::cpu::gain_of, py::arg("implementation"), py::arg("products"),
             "How many times as fast as those of float32 these products run here; see csrc/cpu/gain.hpp.");
  module.def("gather", &gather, py::arg("views"), py::kw_only(), py::arg("offsets"), py::arg("out").noconvert(),
             py::arg("threads"), "Copies views to offsets in a vector of bytes, as rows without gaps.");
  module.def("bytes_needed", &bytes_needed, py::arg("n"), py::arg("widths"), py::kw_only(), py::arg("route"),
             py::arg("tile"), py::arg("chunk"), py::arg("batch"), py::arg("in_place"), py::arg("moment_routes"),
             py::arg("subsets") = 0, py::arg("shape"),
             "Bytes of a pass by purpose; see PassBytes in csrc/cpu/pass.hpp.");
  module.def("run", &run, py::arg("tasks"), py::kw_only(), py::arg("threads"), py::arg("progress"),
             "The sums of the representations of each task; see csrc/hsic.hpp.");
  fastcka::bind_estimate(module);
  fastcka::bind_plain_pass(module);
  fastcka::bind_permuted(module);
  fastcka::store::bind(module);
}
