// The compiled surface of _cuda: check, release the GIL, call once. No mathematics.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "check.hpp"
#include "cublas.hpp"
#include "layout.hpp"
#include "pass.hpp"

namespace py = pybind11;
using fastcka::DType;
using fastcka::cuda::Cublas;
using fastcka::cuda::Layout;
using fastcka::cuda::Pass;
using fastcka::cuda::Products;
using fastcka::cuda::Shape;

namespace {

// (address, row stride, column stride, dtype), strides in bytes, on the device.
using ViewTuple = std::tuple<std::uintptr_t, std::int64_t, std::int64_t, std::string>;

std::pair<DType, std::int64_t> dtype_of(const std::string& name) {
  if (name == "float16") return {DType::float16, 2};
  if (name == "bfloat16") return {DType::bfloat16, 2};
  if (name == "float32") return {DType::float32, 4};
  if (name == "float64") return {DType::float64, 8};
  throw std::invalid_argument("dtype must be float16, bfloat16, float32 or float64, got " + name);
}

Products products_of(const std::string& name) {
  if (name == "float32") return Products::float32;
  if (name == "float16x3") return Products::float16x3;
  if (name == "float16") return Products::float16;
  if (name == "float64") return Products::float64;
  throw std::invalid_argument("products must be float32, float16x3, float16 or float64, got " + name);
}

void require_multiple(const char* name, std::int64_t value, std::int64_t of) {
  if (value < 1 || value % of != 0) {
    throw std::invalid_argument(std::string(name) + " must be a positive multiple of " + std::to_string(of) + ", got " +
                                std::to_string(value));
  }
}

Shape shape_of(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route, std::int64_t tile,
               std::int64_t chunk, std::int64_t rank_chunk, const std::string& products) {
  if (n < 1 || widths.empty() || *std::min_element(widths.begin(), widths.end()) < 1) {
    throw std::invalid_argument("a pass needs at least one example, one representation and one feature in each");
  }
  if (widths.size() > 65535) throw std::invalid_argument("a pass takes up to 65535 representations");
  if (route != "G" && route != "F") throw std::invalid_argument("route must be G or F, got " + route);
  const bool gram = route == "G";
  require_multiple("tile", tile, gram ? fastcka::cuda::grain : fastcka::cuda::feature_block);
  require_multiple("chunk", chunk, fastcka::cuda::grain);
  require_multiple("rank_chunk", rank_chunk, fastcka::cuda::grain);
  return {n,     widths,    gram ? fastcka::Route::gram : fastcka::Route::features, products_of(products), tile,
          chunk, rank_chunk};
}

py::dict bytes_needed(std::int64_t n, const std::vector<std::int64_t>& widths, const std::string& route,
                      std::int64_t tile, std::int64_t chunk, std::int64_t rank_chunk, const std::string& products) {
  const Layout layout(shape_of(n, widths, route, tile, chunk, rank_chunk, products));
  py::dict bytes;
  bytes["prepared"] = layout.v_exponent;
  bytes["workspace"] = layout.s0 - layout.v_exponent;
  bytes["results"] = layout.result_bytes();
  return bytes;
}

std::unique_ptr<Pass> make_pass(std::shared_ptr<Cublas> cublas, int device, std::int64_t n,
                                const std::vector<std::int64_t>& widths, const std::string& route, std::int64_t tile,
                                std::int64_t chunk, std::int64_t rank_chunk, const std::string& products,
                                std::uintptr_t memory, std::int64_t bytes) {
  Shape shape = shape_of(n, widths, route, tile, chunk, rank_chunk, products);
  const std::int64_t needed = Layout(shape).end;
  if (bytes < needed) {
    throw std::invalid_argument("the pass needs " + std::to_string(needed) + " bytes, got " + std::to_string(bytes));
  }
  if (memory % 256 != 0) throw std::invalid_argument("the memory of a pass must be aligned to 256 bytes");
  return std::make_unique<Pass>(std::move(cublas), device, std::move(shape), reinterpret_cast<char*>(memory));
}

void prepare(Pass& pass, std::int64_t first, const std::vector<ViewTuple>& tuples, std::uintptr_t stream) {
  const Layout& layout = pass.layout();
  if (first < 0 || first + static_cast<std::int64_t>(tuples.size()) > layout.m) {
    throw std::invalid_argument("the pass has " + std::to_string(layout.m) + " representations, got " +
                                std::to_string(tuples.size()) + " from " + std::to_string(first) + " on");
  }
  std::vector<fastcka::View> views;
  for (const auto& [address, row_stride, column_stride, name] : tuples) {
    const auto [dtype, size] = dtype_of(name);
    // A kernel that reads across such a boundary would take the whole process down.
    if (address % static_cast<std::uintptr_t>(size) != 0 || row_stride % size != 0 || column_stride % size != 0) {
      throw std::invalid_argument("device data must be aligned to its items of " + std::to_string(size) + " bytes");
    }
    const std::int64_t d = layout.column[static_cast<std::size_t>(first) + views.size() + 1] -
                           layout.column[static_cast<std::size_t>(first) + views.size()];
    views.push_back({reinterpret_cast<const void*>(address), layout.n, d, row_stride, column_stride, dtype, false});
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

// What there is, and what stands in the way; on a machine without a driver too.
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
  module.def("status", &status, "Driver, runtime, devices, and the error that hides them; never raises.");
  module.def("bytes_needed", &bytes_needed, py::arg("n"), py::arg("widths"), py::kw_only(), py::arg("route"),
             py::arg("tile"), py::arg("chunk"), py::arg("rank_chunk"), py::arg("products"),
             "Bytes of a pass: prepared, workspace, results; they lie in one allocation.");
  py::class_<Cublas, std::shared_ptr<Cublas>>(module, "Cublas", py::module_local(),
                                              "cuBLAS, opened from the first candidate that can be.")
      .def(py::init<const std::vector<std::string>&>(), py::arg("candidates"))
      .def_property_readonly("path", &Cublas::path)
      .def_property_readonly("version", &Cublas::version)
      .def("start", &Cublas::start, py::arg("device"), py::call_guard<py::gil_scoped_release>(),
           "Make the handle of a device, before passes take its memory.");
  py::class_<Pass>(module, "Pass", py::module_local(),
                   "A pass of one shape in device memory that the caller gives and keeps.")
      .def(py::init(&make_pass), py::arg("cublas"), py::arg("device"), py::arg("n"), py::arg("widths"), py::kw_only(),
           py::arg("route"), py::arg("tile"), py::arg("chunk"), py::arg("rank_chunk"), py::arg("products"),
           py::arg("memory"), py::arg("bytes"))
      .def_property_readonly("results",
                             [](const Pass& pass) {
                               return py::make_tuple(reinterpret_cast<std::uintptr_t>(pass.results()),
                                                     pass.layout().result_bytes());
                             })
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
           "Route F, when the results are there: enqueue S0 again, with the far examples summed in float64.");
}
