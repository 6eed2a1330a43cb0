#include "sums_binding.hpp"

#include <pybind11/stl.h>

#include <utility>

#include "hsic.hpp"
#include "python_array.hpp"

namespace py = pybind11;

namespace fastcka {

namespace {

// The sums of (count) subsets of the examples.
py::dict to_dict(SubsetSums&& sums, py::ssize_t m) {
  const auto count = static_cast<py::ssize_t>(sums.s0.size()) / (m * m);
  py::dict fields;
  fields["s0"] = to_array(std::move(sums.s0), {count, m, m});
  fields["norms"] = to_array(std::move(sums.norms), {count, m, m});
  fields["near_norms"] = to_array(std::move(sums.near_norms), {count, m, m});
  fields["q_products"] = to_array(std::move(sums.q_products), {count, m, m});
  fields["r_products"] = to_array(std::move(sums.r_products), {count, m, m});
  fields["summed"] = to_array(std::move(sums.summed), {count, m});
  fields["q_totals"] = to_array(std::move(sums.q_totals), {count, m});
  fields["r_totals"] = to_array(std::move(sums.r_totals), {count, m});
  return fields;
}

}  // namespace

py::dict to_dict(cpu::Result&& result) {
  Sums& sums = result.sums;
  py::dict fields;
  fields["seconds"] = result.seconds;
  if (!sums.non_finite.empty()) {
    py::list non_finite;
    for (const NonFinite& bad : sums.non_finite) {
      py::dict entry;
      entry["representation"] = bad.representation;
      entry["count"] = bad.count;
      entry["row"] = bad.row;
      entry["column"] = bad.column;
      non_finite.append(entry);
    }
    fields["non_finite"] = non_finite;
    return fields;
  }
  const auto m = static_cast<py::ssize_t>(sums.exponent.size());
  fields["s0"] = to_array(std::move(sums.s0), {m, m});
  fields["norms"] = to_array(std::move(sums.norms), {m, m});
  fields["r_products"] = to_array(std::move(sums.r_products), {m, m});
  fields["r_totals"] = to_array(std::move(sums.r_totals), {m});
  fields["column_terms"] = to_array(std::move(sums.column_terms), {m});
  fields["summed"] = to_array(std::move(sums.summed), {m});
  fields["near_norms"] = to_array(std::move(sums.near_norms), {m});
  if (!sums.q_totals.empty()) {
    fields["q_products"] = to_array(std::move(sums.q_products), {m, m});
    fields["q_totals"] = to_array(std::move(sums.q_totals), {m});
  }
  if (!sums.cubes.empty()) {
    fields["cubes"] = to_array(std::move(sums.cubes), {m});
    fields["triangles"] = to_array(std::move(sums.triangles), {m});
    fields["weighted_squares"] = to_array(std::move(sums.weighted_squares), {m});
    fields["weighted_sum"] = to_array(std::move(sums.weighted_sum), {m});
    fields["diagonal_cubes"] = to_array(std::move(sums.diagonal_cubes), {m});
  }
  fields["exponent"] = to_array(std::move(sums.exponent), {m});
  fields["constant"] = sums.constant;
  if (!sums.subsets.s0.empty()) fields["subsets"] = to_dict(std::move(sums.subsets), m);
  return fields;
}

}  // namespace fastcka
