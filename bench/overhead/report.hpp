// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace overhead {

/// Gives every record its "ratio" to the first row of the same bench, load, body and number of stages: the median of those
/// of the single rounds, whose runs lie next to each other.
void add_ratios(nlohmann::json& records);

/// The table for a terminal, or the same for docs/benchmarks.md, of what measure_all() and others have recorded.
std::string to_text(nlohmann::json const& report);
std::string to_markdown(nlohmann::json const& report);

}  // namespace overhead
