// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/report.hpp"

#include <nlohmann/json_fwd.hpp>

#include <vector>

namespace overhead {

/// Gives every record its "ratio" to the first row of the same bench, load, body and number of stages.
void add_ratios(nlohmann::json& records);

/// What measure_all() and others have recorded, for people.
std::vector<support::table> tables_of(nlohmann::json const& report);

}  // namespace overhead
