// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/flow/sanitizers.hpp"

namespace penstock::test {

/// Whether a sanitizer is built in, which makes everything many times slower.
inline constexpr bool sanitized = PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER != 0;

}  // namespace penstock::test
