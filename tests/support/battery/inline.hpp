// SPDX-License-Identifier: Apache-2.0
// What every kind of stage that takes `.concurrency = 0` promises of it.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <stdexcept>
#include <thread>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageInline : public testing::Test {
  static_assert(Kit::runs_inline);
};
TYPED_TEST_SUITE_P(StageInline);

TYPED_TEST_P(StageInline, RunsBodiesInScatter) {
  auto const here = std::this_thread::get_id();
  auto outside = TypeParam::make({.concurrency = 2}, [](int x) { return 2 * x; });
  auto stage = TypeParam::make({.concurrency = 0}, [here](int x) {
    if (std::this_thread::get_id() != here) throw std::logic_error{"elsewhere"};
    return x + 1;
  });
  EXPECT_TRUE(stage.scatter(outside.scatter(1)).ready()) << "it waits for an input that is not there yet";
  stage.scatter(5);
  EXPECT_TRUE(stage.try_scatter(6).has_value());
  stage.scatter_many(std::vector{7, 8});
  EXPECT_THAT(stage.gather(), testing::ElementsAre(3, 6, 7, 8, 9));
}

TYPED_TEST_P(StageInline, AnErrorIsTheItemsAndNotTheScatters) {
  auto picky = TypeParam::make({.concurrency = 0, .attempts = 2},
                               [](int x) { return x == 2 ? throw std::domain_error{"two"} : x; });
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(picky.scatter(i));
  auto const outcomes = picky.outcomes();
  ASSERT_EQ(outcomes.size(), 4U);
  EXPECT_EQ(outcomes[2].error().attempts(), 2);
  EXPECT_EQ(outcomes[3].value(), 3);
}

TYPED_TEST_P(StageInline, CancelAndCloseRefuseItems) {
  auto stage = TypeParam::make({.concurrency = 0}, [](int x) { return x; });
  stage.scatter(1);
  stage.cancel();
  EXPECT_THROW(stage.scatter(2), stage_error);
  EXPECT_THAT(stage.gather(), testing::ElementsAre(1));
  stage.scatter(3);
  stage.close();
  EXPECT_THROW(stage.scatter(4), stage_closed);
  EXPECT_THAT(stage.gather(), testing::ElementsAre(3));
}

REGISTER_TYPED_TEST_SUITE_P(StageInline, RunsBodiesInScatter, AnErrorIsTheItemsAndNotTheScatters,
                            CancelAndCloseRefuseItems);

}  // namespace penstock::test
