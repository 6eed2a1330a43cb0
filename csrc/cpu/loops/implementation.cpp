#include "implementation.hpp"

#include <stdexcept>

namespace fastcka::cpu {

#ifdef FASTCKA_X86_64
extern const Implementation amx_implementation;
extern const Implementation avx512bf16_implementation;
extern const Implementation avx512_implementation;
extern const Implementation avx2_implementation;
#endif
extern const Implementation portable_implementation;

const std::vector<const Implementation*>& available_implementations() {
  static const std::vector<const Implementation*> available = [] {
    std::vector<const Implementation*> tables;
#ifdef FASTCKA_X86_64
    for (const Implementation* table :
         {&amx_implementation, &avx512bf16_implementation, &avx512_implementation, &avx2_implementation}) {
      if (table->supported()) tables.push_back(table);
    }
#endif
    tables.push_back(&portable_implementation);
    return tables;
  }();
  return available;
}

const Implementation& find_implementation(const std::string& name) {
  for (const Implementation* table : available_implementations()) {
    if (name == table->name) return *table;
  }
  throw std::invalid_argument("implementation '" + name + "' is not available on this processor");
}

const Kernels<float>& Implementation::single(const std::string& products) const {
  for (const Kernels<float>* table : {&float32, &split, &fast}) {
    if (table->name != nullptr && products == table->name) return *table;
  }
  throw std::invalid_argument("implementation '" + std::string(name) + "' has no products '" + products + "'");
}

ProductShape Implementation::shape(const std::string& products) const {
  return products == float64.name ? shape_of(float64) : shape_of(single(products));
}

}  // namespace fastcka::cpu
