// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/figures.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace locks {

/// Measures the whole catalogue and returns a record for each row and figure: {"bench", "title", "impl", "figure",
/// "unit", "median", "runs"}. Tells on stderr what it is at. Throws when a measurement fails.
nlohmann::json measure_all(bool quick);

/// Takes the figures of one row and column, here; what measure_all() has its processes do. Throws
/// std::invalid_argument.
support::figures measure_one(std::string_view bench, std::string_view impl, std::string_view column, bool quick);

/// Gives a record of others its title and its unit. Throws std::invalid_argument.
void complete(nlohmann::json& record);

/// Adds the waits of an ideal line and what p99 is of them, and gives every record its "ratio" to the first row of its
/// bench.
void conclude(nlohmann::json& records);

}  // namespace locks
