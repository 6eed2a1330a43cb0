// The compiled surface of _cuda: check, release the GIL, call once. No mathematics.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "columns.hpp"
#include "cublas.hpp"
#include "layout.hpp"
#include "pass.hpp"

namespace py = pybind11;
using fastcka::DType;
using fastcka::View;
using fastcka::cuda::Cublas;
using fastcka::cuda::Layout;
using fastcka::cuda::Pass;
using fastcka::cuda::Products;
using fastcka::cuda::Shape;

namespace {

const std::pair<const char*, Products> all_products[] = {{"float32", Products::float32},
                                                         {"float16x3", Products::float16x3},
                                                         {"float16", Products::float16},
                                                         {"float64", Products::float64}};

// Strides in bytes, on the device. The extents are those of the pass.
View make_view(std::uintptr_t address, std::int64_t row_stride, std::int64_t column_stride, const std::string& name) {
  const DType dtype = fastcka::parse_dtype(name);
  const std::int64_t size = fastcka::item_bytes(dtype);
  // A kernel that reads an item across such a boundary would take the whole process down.
  if (address % static_cast<std::uintptr_t>(size) != 0 || row_stride % size != 0 || column_stride % size != 0) {
    throw std::invalid_argument("device data must be aligned to its items of " + std::to_string(size) + " bytes");
  }
  return {reinterpret_cast<const void*>(address), 0, 0, row_stride, column_stride, dtype, false};
}

Products parse_products(const std::string& name) {
  for (const auto& [text, products] : all_products) {
    if (name == text) return products;
  }
  throw std::invalid_argument("products must be float32, float16x3, float16 or float64, got " + name);
}

void require_multiple(const char* name, std::int64_t value, std::int64_t divisor) {
  if (value < 1 || value % divisor != 0) {
    throw std::invalid_argument(std::string(name) + " must be a positive multiple of " + std::to_string(divisor) +
                                ", got " + std::to_string(value));
  }
}

Shape shape_of(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route, std::int64_t tile,
               std::int64_t chunk, std::int64_t rank_chunk, const std::string& products, const std::string& tiles) {
  if (n < 1 || widths.empty() || *std::min_element(widths.begin(), widths.end()) < 1) {
    throw std::invalid_argument("a pass needs at least one example, one representation and one feature in each");
  }
  if (widths.size() > 65535) throw std::invalid_argument("a pass takes up to 65535 representations");
  if (route != "G" && route != "F") throw std::invalid_argument("route must be G or F, got " + route);
  const bool gram = route == "G";
  require_multiple("tile", tile, gram ? fastcka::cuda::example_grain : fastcka::cuda::feature_grain);
  require_multiple("chunk", chunk, fastcka::cuda::example_grain);
  require_multiple("rank_chunk", rank_chunk, fastcka::cuda::example_grain);
  const Products parsed = parse_products(products);
  const bool fused = tiles == "fused";
  if (!fused && tiles != "cuBLAS") throw std::invalid_argument("tiles must be cuBLAS or fused, got " + tiles);
  if (fused && parsed != Products::float16 && parsed != Products::float16x3) {
    throw std::invalid_argument("fused tiles are of float16 or float16x3 products, got " + products);
  }
  return {n, widths, gram ? fastcka::Route::gram : fastcka::Route::features, parsed, tile, chunk, rank_chunk, fused};
}

py::dict bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route,
                      std::int64_t tile, std::int64_t chunk, std::int64_t rank_chunk, const std::string& products,
                      const std::string& tiles) {
  const Layout layout(shape_of(n, widths, route, tile, chunk, rank_chunk, products, tiles));
  py::dict bytes;
  bytes["prepared"] = layout.prepared_bytes();
  bytes["workspace"] = layout.workspace_bytes();
  bytes["results"] = layout.result_bytes();
  return bytes;
}

std::unique_ptr<Pass> make_pass(std::shared_ptr<Cublas> cublas, int device, std::int64_t n,
                                const std::vector<std::int64_t>& widths, const std::string& route, std::int64_t tile,
                                std::int64_t chunk, std::int64_t rank_chunk, const std::string& products,
                                const std::string& tiles, std::uintptr_t memory, std::int64_t bytes) {
  Shape shape = shape_of(n, widths, route, tile, chunk, rank_chunk, products, tiles);
  const std::int64_t needed = Layout(shape).total_bytes();
  if (bytes < needed) {
    throw std::invalid_argument("the pass needs " + std::to_string(needed) + " bytes, got " + std::to_string(bytes));
  }
  if (memory % 256 != 0) throw std::invalid_argument("the memory of a pass must be aligned to 256 bytes");
  return std::make_unique<Pass>(std::move(cublas), device, std::move(shape), reinterpret_cast<char*>(memory));
}

void prepare(Pass& pass, std::int64_t first, std::vector<View> views, std::uintptr_t stream) {
  const Layout& layout = pass.layout();
  if (first < 0 || first + static_cast<std::int64_t>(views.size()) > layout.m) {
    throw std::invalid_argument("the pass has " + std::to_string(layout.m) + " representations, got " +
                                std::to_string(views.size()) + " from " + std::to_string(first) + " on");
  }
  auto column = layout.column.begin() + first;
  for (View& view : views) {
    view.n = layout.n;
    view.d = *(column + 1) - *column;
    ++column;
  }
  const py::gil_scoped_release release;
  pass.prepare(first, views, reinterpret_cast<cudaStream_t>(stream));
}

void add_far(Pass& pass, const std::vector<std::int64_t>& rows, std::uintptr_t stream) {
  for (const std::int64_t row : rows) {
    if (row < 0 || row >= pass.layout().n) {
      throw std::invalid_argument("the pass has " + std::to_string(pass.layout().n) + " examples, got " +
                                  std::to_string(row));
    }
  }
  if (pass.layout().far_rows == 0) throw std::invalid_argument("only a pass by route F adds far examples");
  if (rows.empty()) throw std::invalid_argument("there must be at least one far example");
  const py::gil_scoped_release release;
  pass.add_far(rows, reinterpret_cast<cudaStream_t>(stream));
}

// The field of the results -> its dtype, its offset in bytes, and its number of items.
py::dict result_fields(const Pass& pass) {
  py::dict fields;
  for (const fastcka::cuda::ResultField& field : pass.layout().result_fields()) {
    py::dict place;
    place["dtype"] = field.dtype;
    place["offset"] = field.offset;
    place["count"] = field.count;
    fields[py::str(field.name)] = place;
  }
  return fields;
}

// The driver, the devices and what prevents their use; on a machine without a driver too.
py::dict status() {
  py::dict result;
  py::list devices;
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  result["driver"] = driver;
  result["runtime"] = runtime;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (error == cudaSuccess) {
    result["error"] = py::none();
  } else {
    result["error"] = std::string(cudaGetErrorName(error)) + ", " + cudaGetErrorString(error);
    count = 0;
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) {
      cudaGetLastError();
      continue;
    }
    py::dict device;
    device["index"] = index;
    device["name"] = properties.name;
    device["capability"] = py::make_tuple(properties.major, properties.minor);
    device["multiprocessors"] = properties.multiProcessorCount;
    device["total_bytes"] = properties.totalGlobalMem;
    devices.append(device);
  }
  result["devices"] = devices;
  return result;
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
  module.doc() = "The fused pass on a CUDA device. Use fastcka.compare; this surface may change.";
  module.attr("version") = FASTCKA_VERSION;
  module.attr("compiler") = FASTCKA_CUDA_COMPILER;
  module.attr("architectures") = FASTCKA_CUDA_ARCHITECTURES;
  module.attr("example_grain") = fastcka::cuda::example_grain;
  module.attr("feature_grain") = fastcka::cuda::feature_grain;
  module.attr("too_large") = fastcka::cuda::too_large;
  py::dict prepared_bytes;
  for (const auto& [name, products] : all_products) {
    prepared_bytes[name] = fastcka::cuda::slabs_of(products) * fastcka::cuda::product_item_bytes(products);
  }
  module.attr("prepared_bytes") = prepared_bytes;  // of a value, by products
  module.def("status", &status, "Driver, runtime, devices, and the error that hides them; never raises.");
  module.def("bytes_needed", &bytes_needed, py::arg("n"), py::arg("widths"), py::kw_only(), py::arg("route"),
             py::arg("tile"), py::arg("chunk"), py::arg("rank_chunk"), py::arg("products"), py::arg("tiles"),
             "Bytes of a pass: prepared, workspace, results; one allocation has all of them.");
  py::class_<Cublas, std::shared_ptr<Cublas>>(module, "Cublas", py::module_local(),
                                              "cuBLAS, opened from the first candidate that can be.")
      .def(py::init<const std::vector<std::string>&>(), py::arg("candidates"))
      .def_property_readonly("path", &Cublas::path)
      .def_property_readonly("version", &Cublas::version)
      .def("start", &Cublas::start, py::arg("device"), py::call_guard<py::gil_scoped_release>(),
           "Make the handle of a device, before passes take its memory.");
  py::class_<View>(module, "View", py::module_local(), "A representation in the memory of the device.")
      .def(py::init(&make_view), py::kw_only(), py::arg("address"), py::arg("row_stride"), py::arg("column_stride"),
           py::arg("dtype"));
  py::class_<Pass>(module, "Pass", py::module_local(),
                   "A pass of one shape in device memory that the caller gives and keeps.")
      .def(py::init(&make_pass), py::arg("cublas"), py::arg("device"), py::arg("n"), py::arg("widths"), py::kw_only(),
           py::arg("route"), py::arg("tile"), py::arg("chunk"), py::arg("rank_chunk"), py::arg("products"),
           py::arg("tiles"), py::arg("memory"), py::arg("bytes"))
      .def_property_readonly("results",
                             [](const Pass& pass) {
                               return py::make_tuple(reinterpret_cast<std::uintptr_t>(pass.results()),
                                                     pass.layout().result_bytes());
                             })
      .def_property_readonly("result_fields", &result_fields)
      .def("prepare", &prepare, py::arg("first"), py::arg("views"), py::arg("stream"),
           "Enqueue statistics and centring of the representations first, first + 1, ...")
      .def(
          "sums",
          [](Pass& pass, std::uintptr_t stream) {
            const py::gil_scoped_release release;
            pass.sums(reinterpret_cast<cudaStream_t>(stream));
          },
          py::arg("stream"),
          "Enqueue the products and reductions; from the second call on as a CUDA graph, if they are few.")
      .def("add_far", &add_far, py::arg("rows"), py::arg("stream"),
           "Route F, when the results have arrived: enqueue S0 again, with the far examples summed in float64.");
}
