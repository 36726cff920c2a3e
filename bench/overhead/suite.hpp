// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace overhead {

/// Measures the whole catalogue and returns a record for each row and variant:
/// {"bench", "title", "impl", "unit", "median", "runs"}, and of chains {"load", "body", "stages"} too.
/// Tells on stderr what it is at. Throws when a measurement fails.
nlohmann::json measure_all(bool quick);

/// Takes one figure, here; what measure_all() has its processes do. Throws std::invalid_argument.
double measure_one(std::string_view bench, std::string_view impl, int stages, int items, long turns);

}  // namespace overhead
