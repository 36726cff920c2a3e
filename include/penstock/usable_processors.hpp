// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace penstock {

/// How many processors this process may run on, by its affinity mask; at least 1. Thread-safe; does not block.
[[nodiscard]] int usable_processors() noexcept;

}  // namespace penstock
