// SPDX-License-Identifier: Apache-2.0
// The contract of a stage as tests that run unchanged over every kind: thread, GPU and process stages. A program of them is
//
//   namespace penstock::test {
//   PENSTOCK_STAGE_BATTERY(thread_kit);
//   PENSTOCK_SHARED_MEMORY_BATTERY(thread_kit);  // where kit::shares_memory
//   PENSTOCK_INLINE_BATTERY(thread_kit);         // where kit::runs_inline
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

// CMake names a typed test by its prefix, its test and its type, without its suite; so the prefix is the suite again:
// ctest lists StageOrder.ResultsComeInScatterOrder<penstock::test::thread_kit>.
#define PENSTOCK_STAGE_BATTERY(kit)                                \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageOrder, StageOrder, kit);     \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageFutures, StageFutures, kit); \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageBounds, StageBounds, kit);   \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageErrors, StageErrors, kit);   \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageEnds, StageEnds, kit);       \
  INSTANTIATE_TYPED_TEST_SUITE_P(StageLoad, StageLoad, kit)

// A part that a kind leaves out is not an error: GoogleTest would complain that its suite is never instantiated.
#define PENSTOCK_SHARED_MEMORY_BATTERY(kit) INSTANTIATE_TYPED_TEST_SUITE_P(StageSharedMemory, StageSharedMemory, kit)
#define PENSTOCK_INLINE_BATTERY(kit) INSTANTIATE_TYPED_TEST_SUITE_P(StageInline, StageInline, kit)

namespace penstock::test {
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StageSharedMemory);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StageInline);
}  // namespace penstock::test
