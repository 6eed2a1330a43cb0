#include "overlap.hpp"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

namespace fastcka::cpu {
namespace {

// The memory of one view: the address of its first byte, and one past its last byte.
struct Extent {
  std::intptr_t begin, end;
  std::size_t task, view;
  bool staged;
};

Extent extent_of(const View& view, std::size_t task, std::size_t index) {
  const std::int64_t rows = (view.n - 1) * view.row_stride;
  const std::int64_t columns = (view.d - 1) * view.column_stride;
  const auto address = reinterpret_cast<std::intptr_t>(view.data);
  return {address + std::min<std::int64_t>(rows, 0) + std::min<std::int64_t>(columns, 0),
          address + std::max<std::int64_t>(rows, 0) + std::max<std::int64_t>(columns, 0) + item_bytes(view.dtype), task,
          index, view.staged};
}

// All views in the order of their memory.
std::vector<Extent> sorted_extents(const std::vector<Task>& tasks) {
  std::vector<Extent> extents;
  for (std::size_t task = 0; task < tasks.size(); ++task) {
    const std::vector<View>& views = tasks[task].views;
    for (std::size_t view = 0; view < views.size(); ++view) extents.push_back(extent_of(views[view], task, view));
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.begin, a.task, a.view) < std::tie(b.begin, b.task, b.view);
  });
  return extents;
}

void refuse(const Extent& first, const Extent& second, std::vector<std::string>& reasons) {
  const std::string overwritten = ", and a staged representation is overwritten";
  if (first.task == second.task) {
    reasons[first.task] = "representations " + std::to_string(std::min(first.view, second.view)) + " and " +
                          std::to_string(std::max(first.view, second.view)) + " share memory" + overwritten;
    return;
  }
  for (const auto& [extent, other] : {std::tie(first, second), std::tie(second, first)}) {
    reasons[extent.task] = "representation " + std::to_string(extent.view) + " shares memory with representation " +
                           std::to_string(other.view) + " of a group in the same call" + overwritten;
  }
}

}  // namespace

std::vector<std::string> refuse_shared_memory(const std::vector<Task>& tasks) {
  std::vector<std::string> reasons(tasks.size());
  const std::vector<Extent> extents = sorted_extents(tasks);
  // Among the extents that begin before this one, the one that reaches furthest overlaps it if any of them does.
  const Extent* furthest = nullptr;
  const Extent* furthest_staged = nullptr;
  for (const Extent& extent : extents) {
    const Extent* before = extent.staged ? furthest : furthest_staged;
    if (before != nullptr && extent.begin < before->end) refuse(*before, extent, reasons);
    if (furthest == nullptr || extent.end > furthest->end) furthest = &extent;
    if (extent.staged && (furthest_staged == nullptr || extent.end > furthest_staged->end)) furthest_staged = &extent;
  }
  return reasons;
}

}  // namespace fastcka::cpu
