// Each function checks its arguments, releases the GIL and makes one call.
#include "bind.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>

#include "../python_poll.hpp"
#include "checksum.hpp"
#include "chunks.hpp"

namespace py = pybind11;

namespace fastcka::store {
namespace {

using Positions = py::array_t<std::int64_t, py::array::c_style>;
using Checksums = py::array_t<std::uint64_t, py::array::c_style>;

DType dtype_of(const py::array& out) {
  if (out.dtype().equal(py::dtype::of<float>())) return DType::float32;
  if (out.dtype().equal(py::dtype::of<double>())) return DType::float64;
  if (out.dtype().equal(py::dtype("float16"))) return DType::float16;
  if (out.dtype().equal(py::dtype::of<std::uint16_t>())) return DType::bfloat16;  // its bits
  throw std::invalid_argument("out must be float16, uint16, float32 or float64 in the machine's byte order");
}

std::string name_of(ChunkError::Kind kind) {
  switch (kind) {
    case ChunkError::Kind::checksum:
      return "checksum";
    case ChunkError::Kind::short_file:
      return "short_file";
    case ChunkError::Kind::system:
      return "system";
    case ChunkError::Kind::overflow:
      return "overflow";
  }
  return "";
}

// None, or (why, chunk, errno).
std::optional<std::tuple<std::string, std::int64_t, int>> read_rows_checked(
    int file, const Positions& offsets, std::int64_t chunk_rows, std::int64_t n, const std::string& stored,
    const std::string& dataset, const std::optional<Checksums>& checksums, py::array& out,
    const std::optional<std::pair<Positions, Positions>>& wanted, int threads) {
  if (out.ndim() != 2 || n < 1 || out.shape(1) < 1)
    throw std::invalid_argument("out must be (rows, d), and n positive");
  if (chunk_rows < 1 || offsets.ndim() != 1 || ceil_div(n, chunk_rows) != offsets.shape(0)) {
    throw std::invalid_argument("expected an offset for each chunk of n rows");
  }
  if (checksums && (checksums->ndim() != 1 || checksums->shape(0) != offsets.shape(0))) {
    throw std::invalid_argument("expected a checksum for each chunk");
  }
  if (threads < 1 || threads > 4096) throw std::invalid_argument("threads must be from 1 to 4096");
  const Chunks chunks{file,
                      offsets.data(),
                      offsets.shape(0),
                      chunk_rows,
                      n,
                      out.shape(1),
                      parse_dtype(stored, "stored"),
                      dataset,
                      checksums ? checksums->data() : nullptr};
  Wanted rows{nullptr, nullptr, n};
  if (wanted) {
    const auto& [ascending, targets] = *wanted;
    rows = {ascending.data(), targets.data(), ascending.size()};
    if (ascending.ndim() != 1 || targets.ndim() != 1 || targets.size() != rows.count) {
      throw std::invalid_argument("wanted must be two vectors of one length");
    }
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const bool sorted = rows.rows[i] >= (i > 0 ? rows.rows[i - 1] : 0);
      if (!sorted || rows.rows[i] >= n || rows.targets[i] < 0 || rows.targets[i] >= rows.count) {
        throw std::invalid_argument("wanted must be rising rows below n, and rows of out");
      }
    }
  }
  if (out.shape(0) != rows.count) throw std::invalid_argument("out must have a row for each that is wanted");
  const Target target{static_cast<char*>(out.mutable_data()), out.strides(0), out.strides(1), dtype_of(out)};
  const bool narrow = target.dtype == DType::float16 || target.dtype == DType::bfloat16;
  if (narrow && (chunks.dtype != target.dtype || target.column_stride != 2)) {
    throw std::invalid_argument("out may be of 16 bits only for contiguous rows of that very form");
  }
  const py::none no_progress;
  const Poll poll = make_poll(no_progress);
  try {
    // No Python object is touched: the caller holds the arrays.
    const py::gil_scoped_release release;
    read_rows(chunks, rows, target, threads, poll);
  } catch (const ChunkError& error) {
    return std::make_tuple(name_of(error.kind), error.chunk, error.code);
  }
  return std::nullopt;
}

Checksums chunk_checksums(const py::array_t<std::uint8_t, py::array::c_style>& data, std::int64_t chunk_bytes,
                          const std::string& dataset, std::int64_t first) {
  if (data.ndim() != 1 || chunk_bytes < 1 || first < 0) {
    throw std::invalid_argument("expected a vector of bytes, a positive chunk_bytes, and a first chunk");
  }
  const std::int64_t size = data.size();
  Checksums sums(ceil_div(size, chunk_bytes));
  const std::uint8_t* from = data.data();
  std::uint64_t* to = sums.mutable_data();
  const py::gil_scoped_release release;
  for (std::int64_t begin = 0; begin < size; begin += chunk_bytes) {
    Checksum sum(dataset, first + begin / chunk_bytes);
    sum.update(from + begin, static_cast<std::size_t>(std::min(chunk_bytes, size - begin)));
    *to++ = sum.value();
  }
  return sums;
}

}  // namespace

void bind(py::module_& module) {
  module.def("read_rows", &read_rows_checked, py::arg("file"), py::kw_only(), py::arg("offsets"), py::arg("chunk_rows"),
             py::arg("n"), py::arg("stored"), py::arg("dataset"), py::arg("checksums").none(true),
             py::arg("out").noconvert(), py::arg("wanted"), py::arg("threads"),
             "Rows of a layer from the chunks of an open file, each checked; see chunks.hpp.");
  module.def("chunk_checksums", &chunk_checksums, py::arg("data").noconvert(), py::kw_only(), py::arg("chunk_bytes"),
             py::arg("dataset"), py::arg("first") = 0,
             "Checksums of a dataset's chunks from the first one given; see checksum.hpp.");
}

}  // namespace fastcka::store
