// Whether a staged representation, which a pass overwrites, shares memory with another one of the same call.
#pragma once

#include <string>
#include <vector>

#include "pass.hpp"

namespace fastcka::cpu {

// For each task the reason why it must not be computed, or an empty string.
std::vector<std::string> refuse_shared_memory(const std::vector<Task>& tasks);

}  // namespace fastcka::cpu
