// The compiled surface of _core: check, release the GIL, call once. No mathematics.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bind_permuted.hpp"
#include "cpu/features.hpp"
#include "cpu/gain.hpp"
#include "cpu/gram.hpp"
#include "cpu/loops/implementation.hpp"
#include "cpu/overlap.hpp"
#include "cpu/pass.hpp"
#include "cpu/speed.hpp"
#include "cpu/threads/memory.hpp"
#include "estimate.hpp"
#include "hsic.hpp"
#include "python_poll.hpp"
#include "store/bind.hpp"

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
               std::int64_t batch, const std::string& implementation, const std::string& products) {
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
  return {std::move(views), {parse_route(route), tile, chunk, batch, implementation, products}};
}

// A NumPy array that owns the vector's memory.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  return py::array_t<T>(std::move(shape), owned->data(), owner);
}

py::dict to_dict(fastcka::cpu::Result&& result, const Task& task) {
  fastcka::Sums& sums = result.sums;
  py::dict fields;
  fields["seconds"] = result.seconds;
  if (!sums.non_finite.empty()) {
    py::list non_finite;
    for (const fastcka::NonFinite& bad : sums.non_finite) {
      py::dict entry;
      entry["representation"] = bad.representation;
      entry["count"] = bad.count;
      entry["row"] = bad.row;
      entry["column"] = bad.column;
      non_finite.append(entry);
    }
    fields["non_finite"] = non_finite;
    return fields;
  }
  const auto m = static_cast<py::ssize_t>(task.views.size());
  fields["s0"] = to_array(std::move(sums.s0), {m, m});
  fields["norms"] = to_array(std::move(sums.norms), {m, m});
  fields["k_totals"] = to_array(std::move(sums.k_totals), {m});
  fields["summed"] = to_array(std::move(sums.summed), {m});
  if (!sums.q_totals.empty()) {
    fields["q_products"] = to_array(std::move(sums.q_products), {m, m});
    fields["q_totals"] = to_array(std::move(sums.q_totals), {m});
    fields["r_products"] = to_array(std::move(sums.r_products), {m, m});
    fields["r_totals"] = to_array(std::move(sums.r_totals), {m});
    fields["near_norms"] = to_array(std::move(sums.near_norms), {m});
  }
  fields["exponent"] = to_array(std::move(sums.exponent), {m});
  fields["constant"] = sums.constant;
  return fields;
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
    outcomes.append(to_dict(std::move(results[next]), accepted[next]));
    ++next;
  }
  return outcomes;
}

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

py::tuple estimate(const std::string& estimator, std::int64_t n, const Doubles& s0, const Doubles& norms,
                   const Doubles& r_products, const Doubles& r_totals, const std::optional<Doubles>& q_products,
                   const std::optional<Doubles>& q_totals, const Doubles& summed, const Doubles& near_norms,
                   const Integers& exponent, double zero, double condition, double excess) {
  const py::ssize_t m = exponent.size();
  if ((estimator != "biased" && estimator != "unbiased") || exponent.ndim() != 1 ||
      q_products.has_value() != q_totals.has_value()) {
    throw std::invalid_argument("expected an estimator, exponents (m) and both q_products and q_totals or neither");
  }
  const fastcka::Terms terms{n,
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
  fastcka::Estimates estimates =
      fastcka::estimate(terms, estimator == "biased" ? fastcka::Estimator::biased : fastcka::Estimator::unbiased,
                        {zero, condition, excess});
  py::object worst = py::none();
  if (estimates.worst.first >= 0) {
    worst = py::make_tuple(estimates.worst.first, estimates.worst.second, estimates.value);
  }
  return py::make_tuple(to_array(std::move(estimates.hsic), {m, m}), to_array(std::move(estimates.cka), {m, m}),
                        estimates.undefined, worst);
}

py::dict bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route,
                      std::int64_t tile, std::int64_t chunk, std::int64_t batch, bool in_place,
                      const ProductShape& shape) {
  if (n < 1 || widths.empty() || *std::min_element(widths.begin(), widths.end()) < 1) {
    throw std::invalid_argument("a pass needs at least one example, one representation and one feature in each");
  }
  const fastcka::cpu::PassBytes needed =
      fastcka::cpu::bytes_needed(n, widths, parse_route(route), tile, chunk, batch, in_place, shape);
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
  return result;
}

py::list implementations() {
  py::list tables;
  for (const Implementation* table : fastcka::cpu::available_implementations()) {
    py::dict entry;
    entry["name"] = table->name;
    entry["float64"] = shape_of(table->float64);
    entry["float32"] = shape_of(table->float32);
    entry["fast"] = table->fast.name == nullptr ? py::object(py::none()) : py::cast(shape_of(table->fast));
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
                       std::int64_t values, std::int64_t cell_bytes, std::int64_t sum_bytes, bool arranged,
                       bool in_place) {
             return ProductShape{std::move(products), lanes,     rows,     step,    values,
                                 cell_bytes,          sum_bytes, arranged, in_place};
           }),
           py::kw_only(), py::arg("products"), py::arg("lanes"), py::arg("rows"), py::arg("step"), py::arg("values"),
           py::arg("cell_bytes"), py::arg("sum_bytes"), py::arg("arranged") = false, py::arg("in_place") = false)
      .def_readonly("products", &ProductShape::products)
      .def_readonly("lanes", &ProductShape::lanes)
      .def_readonly("rows", &ProductShape::rows)
      .def_readonly("step", &ProductShape::step)
      .def_readonly("values", &ProductShape::values)
      .def_readonly("sum_bytes", &ProductShape::sum_bytes)
      .def_readonly("arranged", &ProductShape::arranged)
      .def_readonly("in_place", &ProductShape::in_place);
  py::class_<View>(module, "View", py::module_local(), "A representation in the caller's memory.")
      .def(py::init(&make_view), py::arg("address"), py::arg("n"), py::arg("d"), py::arg("row_stride"),
           py::arg("column_stride"), py::arg("dtype"), py::arg("staged"));
  py::class_<Task>(module, "Task", py::module_local(), "A group of representations, and how its pass runs.")
      .def(py::init(&make_task), py::arg("views"), py::arg("route"), py::arg("tile"), py::arg("chunk"),
           py::arg("batch"), py::arg("implementation"), py::arg("products"));
  module.def("implementations", &implementations,
             "The implementations of the inner loops that this processor can run, the preferred one first.");
  module.def("measure_speed", &measure_speed, py::arg("implementation"), py::arg("products"), py::arg("threads"),
             "How fast an implementation runs here, in some milliseconds; see csrc/cpu/speed.hpp.");
  module.attr("most_kept") = fastcka::cpu::most_kept;
  module.def("release_kept", &fastcka::cpu::release_kept,
             "Gives the memory that is kept for the next pass back to the system; returns its bytes.");
  module.def("gain_of_fast", &fastcka::cpu::gain_of_fast, py::arg("implementation"),
             "How many times as fast as those of \"high\" the products of \"fast\" run here; see csrc/cpu/gain.hpp.");
  module.def("bytes_needed", &bytes_needed, py::arg("n"), py::arg("widths"), py::kw_only(), py::arg("route"),
             py::arg("tile"), py::arg("chunk"), py::arg("batch"), py::arg("in_place"), py::arg("shape"),
             "Bytes of a pass by purpose; see PassBytes in csrc/cpu/pass.hpp.");
  module.def("estimate", &estimate, py::arg("estimator"), py::arg("n"), py::arg("s0"), py::arg("norms"),
             py::arg("r_products"), py::arg("r_totals"), py::arg("q_products"), py::arg("q_totals"), py::arg("summed"),
             py::arg("near_norms"), py::arg("exponent"), py::arg("zero"), py::arg("condition"), py::arg("excess"),
             "HSIC and CKA of sums, the positions where CKA is undefined, and a similarity that rounding does not "
             "explain; see csrc/estimate.hpp.");
  module.def("run", &run, py::arg("tasks"), py::kw_only(), py::arg("threads"), py::arg("progress"),
             "The sums of the representations of each task; see csrc/hsic.hpp.");
  fastcka::bind_permuted(module);
  fastcka::store::bind(module);
}
