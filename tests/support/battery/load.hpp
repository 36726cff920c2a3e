// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises also when there are many: items, bodies, stages, rounds.
#pragma once

#include "tests/support/battery/kit.hpp"
#include "tests/support/sanitized.hpp"

#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageLoad : public testing::Test {};
TYPED_TEST_SUITE_P(StageLoad);

TYPED_TEST_P(StageLoad, OneThrowAndAMillionItemsAfterIt) {
  constexpr int items = sanitized ? 50'000 : 1'000'000;
  auto picky = TypeParam::make({.concurrency = 2, .capacity = 4'096},
                               [](int x) { return x == 0 ? throw std::runtime_error{"the first"} : x; });
  for (int i = 0; i <= items; ++i) picky.scatter(i);
  auto const outcomes = picky.outcomes();
  ASSERT_EQ(outcomes.size(), static_cast<std::size_t>(items) + 1);
  EXPECT_FALSE(outcomes[0]);
  for (std::size_t i = 1; i < outcomes.size(); ++i) ASSERT_EQ(outcomes[i].value(), static_cast<int>(i));
}

TYPED_TEST_P(StageLoad, AStageOfManyDeclaredBodiesIsAStage) {
  auto same = TypeParam::make({.concurrency = TypeParam::many_bodies}, [](int x) { return x; });
  for (int const items : {1, 10 * TypeParam::many_bodies}) {
    for (int i = 0; i < items; ++i) same.scatter(i);
    EXPECT_EQ(same.gather(), iota(items));
  }
}

TYPED_TEST_P(StageLoad, AHundredStagesWork) {
  auto const make = [] { return TypeParam::make({.concurrency = 3}, [](int x) { return x + 1; }); };
  std::vector<decltype(make())> stages;
  for (int i = 0; i < TypeParam::many_stages; ++i) stages.push_back(make());
  for (int item = 0; item < 50; ++item) {
    auto value = stages.front().scatter(item);
    for (std::size_t i = 1; i < stages.size(); ++i) value = stages[i].scatter(std::move(value));
  }
  auto const results = stages.back().gather();
  ASSERT_EQ(results.size(), 50U);
  for (int item = 0; item < 50; ++item) {
    EXPECT_EQ(results[static_cast<std::size_t>(item)], item + TypeParam::many_stages);
  }
}

TYPED_TEST_P(StageLoad, TwentyThousandRoundsOfOneItemNeverHang) {
  auto same = TypeParam::make({.concurrency = 50}, [](int x) { return x; });
  for (int round = 0; round < 20'000; ++round) {
    same.scatter(round);
    ASSERT_EQ(same.gather(), std::vector<int>{round});
  }
}

REGISTER_TYPED_TEST_SUITE_P(StageLoad, OneThrowAndAMillionItemsAfterIt, AStageOfManyDeclaredBodiesIsAStage,
                            AHundredStagesWork, TwentyThousandRoundsOfOneItemNeverHang);

}  // namespace penstock::test
