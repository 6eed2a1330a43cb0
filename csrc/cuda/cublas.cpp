#include "cublas.hpp"

#include <dlfcn.h>

#include <memory>
#include <stdexcept>

#include "check.hpp"

#if __has_include(<cublas_v2.h>)
#include <cublas_v2.h>
#endif

namespace fastcka::cuda {

namespace {

constexpr int op_n = 0;
constexpr int op_t = 1;
constexpr int compute_float32 = 68;
constexpr int compute_float32_pedantic = 69;
constexpr int compute_float64 = 70;
constexpr int default_algorithm = -1;
constexpr int status_alloc_failed = 3;

#if __has_include(<cublas_v2.h>)
static_assert(CUBLAS_OP_N == op_n && CUBLAS_OP_T == op_t && CUBLAS_COMPUTE_32F == compute_float32 &&
              CUBLAS_COMPUTE_32F_PEDANTIC == compute_float32_pedantic && CUBLAS_COMPUTE_64F == compute_float64 &&
              CUBLAS_GEMM_DEFAULT == default_algorithm && CUBLAS_STATUS_ALLOC_FAILED == status_alloc_failed);
#endif

std::string reason() {
  const char* text = dlerror();
  return text != nullptr ? text : "unknown";
}

// libcublas asks for libcublasLt by name: another version earlier on the search path breaks it in odd ways.
void open_companion(const std::string& path) {
  const std::size_t name = path.rfind("libcublas.so");
  if (name == std::string::npos || name == 0) return;
  const std::string companion = path.substr(0, name) + "libcublasLt.so" + path.substr(name + 12);
  dlopen(companion.c_str(), RTLD_NOW | RTLD_LOCAL);
}

template <class Call>
void find(void* library, const char* name, Call& call) {
  call = reinterpret_cast<Call>(dlsym(library, name));
  if (call == nullptr) throw std::runtime_error(reason());
}

std::unique_ptr<const CublasCalls> find_calls(void* library) {
  auto calls = std::make_unique<CublasCalls>();
  find(library, "cublasCreate_v2", calls->create);
  find(library, "cublasGetVersion_v2", calls->get_version);
  find(library, "cublasSetStream_v2", calls->set_stream);
  find(library, "cublasSetWorkspace_v2", calls->set_workspace);
  find(library, "cublasGetStatusString", calls->status_string);
  find(library, "cublasGemmEx", calls->gemm);
  find(library, "cublasGemmStridedBatchedEx", calls->gemm_batched);
  return calls;
}

int to_int(std::int64_t value) {
  if (value > 0x7fffffff) throw std::runtime_error("cuBLAS takes extents up to 2^31 - 1, got " + std::to_string(value));
  return static_cast<int>(value);
}

}  // namespace

Cublas::Cublas(const std::vector<std::string>& candidates) {
  std::string reasons;
  for (const std::string& candidate : candidates) {
    open_companion(candidate);
    library_ = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) {
      reasons += "; " + candidate + ": " + reason();
      continue;
    }
    try {
      calls_ = find_calls(library_);
      path_ = candidate;
      return;
    } catch (const std::runtime_error& error) {
      reasons += "; " + candidate + ": " + error.what();
      dlclose(library_);
    }
  }
  throw std::runtime_error("cuBLAS cannot be opened" + reasons);
}

int Cublas::version() const {
  int version = 0;
  check(calls_->get_version(nullptr, &version), "cublasGetVersion");  // needs no handle, and no device
  return version;
}

void Cublas::start(int device) {
  const std::lock_guard lock(mutex_);
  const OnDevice guard(device);
  handle_here();
}

void* Cublas::handle_here() {
  int device = 0;
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  const auto opened = handles_.find(device);
  if (opened != handles_.end()) return opened->second;
  void* handle = nullptr;
  check(calls_->create(&handle), "cublasCreate");
  return handles_.emplace(device, handle).first->second;
}

std::unique_lock<std::mutex> Cublas::use(cudaStream_t stream, void* workspace, std::int64_t bytes) {
  std::unique_lock lock(mutex_);
  handle_ = handle_here();
  // In this order, because setting a stream replaces the workspace.
  check(calls_->set_stream(handle_, stream), "cublasSetStream");
  check(calls_->set_workspace(handle_, workspace, to_size(bytes)), "cublasSetWorkspace");
  multiplied_ = 0;
  return lock;
}

void Cublas::multiply(Products products, Depth depth_over, std::int64_t height, std::int64_t width, std::int64_t depth,
                      const Matrix& a, const Matrix& b, bool accumulate, const Matrix& c, std::int64_t batch) {
  const bool twice = products == Products::float64;
  const bool single = products == Products::float32;
  const cudaDataType in = twice ? CUDA_R_64F : single ? CUDA_R_32F : CUDA_R_16F;
  const cudaDataType out = twice ? CUDA_R_64F : CUDA_R_32F;
  const int compute = twice ? compute_float64 : single ? compute_float32_pedantic : compute_float32;
  const double one = 1, zero = 0;
  const float one_single = 1, zero_single = 0;
  const void* alpha = twice ? static_cast<const void*>(&one) : &one_single;
  const void* beta = twice        ? static_cast<const void*>(accumulate ? &one : &zero)
                     : accumulate ? &one_single
                                  : &zero_single;
  ++multiplied_;
  // cuBLAS is column-major: what it takes for c is our c transposed, b a' or b' a.
  const int op_b = depth_over == Depth::columns ? op_t : op_n;
  const int op_a = depth_over == Depth::columns ? op_n : op_t;
  if (batch == 1) {
    check(calls_->gemm(handle_, op_b, op_a, to_int(width), to_int(height), to_int(depth), alpha, b.data, in,
                       to_int(b.pitch), a.data, in, to_int(a.pitch), beta, c.data, out, to_int(c.pitch), compute,
                       default_algorithm),
          "cublasGemmEx");
  } else {
    check(calls_->gemm_batched(handle_, op_b, op_a, to_int(width), to_int(height), to_int(depth), alpha, b.data, in,
                               to_int(b.pitch), b.step, a.data, in, to_int(a.pitch), a.step, beta, c.data, out,
                               to_int(c.pitch), c.step, to_int(batch), compute, default_algorithm),
          "cublasGemmStridedBatchedEx");
  }
}

void Cublas::check(int status, const char* what) const {
  if (status == 0) return;
  const std::string text = std::string(what) + ": " + calls_->status_string(status);
  if (status == status_alloc_failed) throw OutOfMemory(text);
  throw std::runtime_error(text);
}

}  // namespace fastcka::cuda
