// SPDX-License-Identifier: Apache-2.0
// The contract of a stage as tests that run unchanged over every kind: thread, GPU and process stages. A program of them is
//
//   namespace penstock::test {
//   PENSTOCK_STAGE_BATTERY(ThreadStage, thread_kit);
//   PENSTOCK_SHARED_MEMORY_BATTERY(ThreadStage, thread_kit);  // where kit::shares_memory
//   PENSTOCK_INLINE_BATTERY(ThreadStage, thread_kit);         // where kit::runs_inline
//   }
//
// battery/kit.hpp says what a kit is. Values go in as arguments and come out as results; a test that looks into bodies as
// they run is in battery/shared_memory.hpp.
#pragma once

#include "tests/support/battery/bounds.hpp"
#include "tests/support/battery/ends.hpp"
#include "tests/support/battery/errors.hpp"
#include "tests/support/battery/futures.hpp"
#include "tests/support/battery/inline.hpp"
#include "tests/support/battery/kit.hpp"
#include "tests/support/battery/load.hpp"
#include "tests/support/battery/order.hpp"
#include "tests/support/battery/shared_memory.hpp"

#define PENSTOCK_STAGE_BATTERY(kind, kit)                  \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageOrder, kit);   \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageFutures, kit); \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageBounds, kit);  \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageErrors, kit);  \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageEnds, kit);    \
  INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageLoad, kit)

// A part that a kind leaves out is not an error: GoogleTest would complain that its suite is never instantiated.
#define PENSTOCK_SHARED_MEMORY_BATTERY(kind, kit) INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageSharedMemory, kit)
#define PENSTOCK_INLINE_BATTERY(kind, kit) INSTANTIATE_TYPED_TEST_SUITE_P(kind, StageInline, kit)

namespace penstock::test {
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StageSharedMemory);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StageInline);
}  // namespace penstock::test
