// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace support {

/// What figures depend on: processor, cores, kernel, compiler, oneTBB, penstock, and the load average now.
nlohmann::json describe_machine();

}  // namespace support
