// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/support/report.hpp"

#include <nlohmann/json_fwd.hpp>

#include <vector>

namespace locks {

/// What measure_all() and others have recorded, for people, and whether it is what penstock wants to reach.
std::vector<support::table> tables_of(nlohmann::json const& report);

}  // namespace locks
