// SPDX-License-Identifier: Apache-2.0
#include "tests/support/stage_battery.hpp"

namespace penstock::test {

PENSTOCK_STAGE_BATTERY(thread_kit);
PENSTOCK_SHARED_MEMORY_BATTERY(thread_kit);
PENSTOCK_INLINE_BATTERY(thread_kit);

}  // namespace penstock::test
