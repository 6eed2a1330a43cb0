#include "kernels.hpp"

#include <stdexcept>

namespace fastcka::cpu {

#ifdef FASTCKA_X86_64
extern const Kernels avx512_kernels;
extern const Kernels avx2_kernels;
#endif
extern const Kernels blas_kernels;

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> available = [] {
    std::vector<const Kernels*> tables;
#ifdef FASTCKA_X86_64
    for (const Kernels* table : {&avx512_kernels, &avx2_kernels}) {
      if (table->supported()) tables.push_back(table);
    }
#endif
    tables.push_back(&blas_kernels);
    return tables;
  }();
  return available;
}

const Kernels& find_kernels(const std::string& name) {
  for (const Kernels* table : available_kernels()) {
    if (name == table->name) return *table;
  }
  throw std::invalid_argument("kernels '" + name + "' are not available on this processor");
}

}  // namespace fastcka::cpu
