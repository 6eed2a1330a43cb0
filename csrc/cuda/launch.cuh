// One way to launch a kernel: the arguments are converted to the parameter types of the kernel, and a failure is an
// exception.
#pragma once

#include <cuda_runtime.h>

#include <tuple>

#include "check.hpp"

namespace fastcka::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, const Arguments&... arguments) {
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  std::apply(
      [&](Parameters&... each) {
        void* addresses[] = {static_cast<void*>(&each)...};
        check(cudaLaunchKernel(kernel, grid, block, addresses, 0, stream), "cudaLaunchKernel");
      },
      values);
}

// The extent of a grid.
inline unsigned extent(std::int64_t count) { return static_cast<unsigned>(count); }

}  // namespace fastcka::cuda
