// The formats of the numbers in a representation: their names, as Python and stores write them, and their sizes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace fastcka {

enum class DType { float16, bfloat16, float32, float64 };

// Throws std::invalid_argument, which names the argument, for another name.
inline DType parse_dtype(const std::string& name, const char* argument = "dtype") {
  if (name == "float16") return DType::float16;
  if (name == "bfloat16") return DType::bfloat16;
  if (name == "float32") return DType::float32;
  if (name == "float64") return DType::float64;
  throw std::invalid_argument(std::string(argument) + " must be float16, bfloat16, float32 or float64, got " + name);
}

inline std::int64_t item_bytes(DType dtype) { return dtype == DType::float64 ? 8 : dtype == DType::float32 ? 4 : 2; }

}  // namespace fastcka
