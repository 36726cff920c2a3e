// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises of its gathers.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageOrder : public testing::Test {};
TYPED_TEST_SUITE_P(StageOrder);

TYPED_TEST_P(StageOrder, ResultsComeInScatterOrder) {
  auto same = TypeParam::make({.concurrency = 4}, [](int x) {
    if (x % 7 == 0) std::this_thread::yield();
    return x;
  });
  for (int i = 0; i < 10'000; ++i) same.scatter(i);
  EXPECT_EQ(same.gather(), iota(10'000));
}

TYPED_TEST_P(StageOrder, ASecondGatherIsEmptyAndTheStageWorksAgain) {
  auto same = TypeParam::make({.concurrency = 4}, [](int x) { return x; });
  EXPECT_THAT(same.gather(), testing::IsEmpty()) << "before the first scatter";
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 12; ++i) same.scatter(i);
    EXPECT_EQ(same.gather(), iota(12));
    EXPECT_THAT(same.gather(), testing::IsEmpty());
    EXPECT_THAT(same.outcomes(), testing::IsEmpty());
  }
}

TYPED_TEST_P(StageOrder, ItemsThatAreHeldUpKeepTheirPlace) {
  gate let;
  auto same = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  same.scatter(let.hold(0));
  auto early = same.scatter(1);
  same.scatter(let.hold(2));
  auto last = same.scatter(3);
  EXPECT_EQ(early.get(), 1);
  EXPECT_EQ(last.get(), 3);
  let.open();
  EXPECT_EQ(same.gather(), iota(4));
}

TYPED_TEST_P(StageOrder, GatherWaitsForABodyWithoutAResult) {
  auto consume = TypeParam::make({.concurrency = 3}, [](int) {});
  static_assert(std::is_void_v<decltype(consume.gather())>);
  for (int i = 0; i < 100; ++i) consume.scatter(i);
  consume.gather();
  EXPECT_EQ(consume.stats().done, 100U);
  consume.scatter(1);
  EXPECT_TRUE(consume.gather_for(std::chrono::hours{1}));
}

TYPED_TEST_P(StageOrder, OutcomesHaveAnIndexThatStartsAnewWithEveryRound) {
  auto same = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  for (int const items : {5, 3}) {
    for (int i = 0; i < items; ++i) same.scatter(10 * i);
    auto const outcomes = same.outcomes();
    ASSERT_EQ(outcomes.size(), static_cast<std::size_t>(items));
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      EXPECT_EQ(outcomes[i].index(), i);
      EXPECT_EQ(outcomes[i].value(), static_cast<int>(10 * i));
    }
  }
}

TYPED_TEST_P(StageOrder, OfConcurrentGathersEachItemGoesToOne) {
  auto same = TypeParam::make({.concurrency = 4}, [](int x) { return x; });
  constexpr int items = 20'000;
  std::vector<std::vector<int>> shares(4);
  std::atomic<bool> scattered{false};
  {
    std::vector<std::jthread> gatherers;
    for (auto& share : shares) {
      gatherers.emplace_back([&] {
        for (bool last = false; !last;) {
          last = scattered;
          for (int value : same.gather()) share.push_back(value);
        }
      });
    }
    for (int i = 0; i < items; ++i) same.scatter(i);
    scattered = true;
  }
  std::vector<int> all;
  for (auto const& share : shares) {
    EXPECT_TRUE(std::ranges::is_sorted(share));
    all.insert(all.end(), share.begin(), share.end());
  }
  std::ranges::sort(all);
  EXPECT_EQ(all, iota(items));
}

TYPED_TEST_P(StageOrder, ManyThreadsMayScatter) {
  auto same = TypeParam::make({.concurrency = 4, .capacity = 16}, [](int x) { return x; });
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 4; ++p) {
      producers.emplace_back([&same, p] {
        for (int i = 0; i < 2'500; ++i) same.scatter(p * 2'500 + i);
      });
    }
  }
  auto all = same.gather();
  for (int p = 0; p < 4; ++p) {  // what one thread scatters keeps its order
    std::vector<int> mine;
    std::ranges::copy_if(all, std::back_inserter(mine), [p](int x) { return x / 2'500 == p; });
    EXPECT_TRUE(std::ranges::is_sorted(mine));
  }
  std::ranges::sort(all);
  EXPECT_EQ(all, iota(10'000));
}

TYPED_TEST_P(StageOrder, ScatterManyKeepsTheOrderAndUnpacksTuples) {
  auto add = TypeParam::make({.concurrency = 2, .capacity = 10}, [](int a, int b) { return a + b; });
  std::vector<std::tuple<int, int>> pairs;
  for (int i = 0; i < 1'000; ++i) pairs.emplace_back(i, i);
  add.scatter(-1, -1);
  add.scatter_many(pairs);
  add.scatter(2'000, 0);
  add.scatter_many(std::vector<std::tuple<int, int>>{});
  auto const sums = add.gather();
  ASSERT_EQ(sums.size(), 1'002U);
  for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_EQ(sums[i], 2 * static_cast<int>(i) - 2);
}

TYPED_TEST_P(StageOrder, APlainCallIsNoItem) {
  auto multiply = TypeParam::make({.concurrency = 2}, [](int x, int y) { return x * y; });
  EXPECT_EQ(multiply(2, 5), 10);
  multiply.scatter(3, 4);
  EXPECT_EQ(multiply(6, 7), 42);
  EXPECT_THAT(multiply.gather(), testing::ElementsAre(12));
}

TYPED_TEST_P(StageOrder, APlainCallThrowsWhatTheBodyThrows) {
  auto fail = TypeParam::make({.concurrency = 1}, [](int) -> int { throw std::domain_error{"plainly"}; });
  expect_original<TypeParam, std::domain_error>([&] { return fail(1); }, "plainly");
  EXPECT_THAT(fail.outcomes(), testing::IsEmpty());
}

TYPED_TEST_P(StageOrder, GatherForTakesNothingOnTimeOut) {
  gate let;
  auto same = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  same.scatter(0);
  auto slow = same.scatter(let.hold(1));
  EXPECT_EQ(same.gather_for(std::chrono::milliseconds{1}), std::nullopt);
  EXPECT_FALSE(slow.wait_for(std::chrono::milliseconds{1}));
  let.open();
  EXPECT_TRUE(slow.wait_for(std::chrono::hours::max()));
  EXPECT_EQ(same.gather_for(std::chrono::hours{1}).value(), iota(2));
  EXPECT_THAT(same.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageOrder, ProgressEndsWithAllItemsOfTheRound) {
  auto odd_fails =
      TypeParam::make({.concurrency = 2}, [](int x) { return x % 2 != 0 ? throw std::runtime_error{"odd"} : x; });
  for (int const items : {10, 4, 7}) {
    for (int i = 0; i < items; ++i) odd_fails.scatter(i);
    progress last;
    auto const show = [&](progress const& now) {
      EXPECT_GE(now.done, last.done);
      EXPECT_GE(now.failed, last.failed);
      EXPECT_EQ(now.total, static_cast<std::uint64_t>(items));
      last = now;
    };
    EXPECT_THROW((void)odd_fails.gather({.progress = show}), gather_error<int>);
    EXPECT_EQ(last.done, static_cast<std::uint64_t>((items + 1) / 2));
    EXPECT_EQ(last.failed, static_cast<std::uint64_t>(items / 2));
  }
}

TYPED_TEST_P(StageOrder, WhatProgressThrowsLosesNothing) {
  auto same = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  for (int i = 0; i < 5; ++i) same.scatter(i);
  auto const refuse = [](progress const&) { throw std::domain_error{"no bar"}; };
  EXPECT_THROW((void)same.gather({.progress = refuse}), std::domain_error);
  EXPECT_EQ(same.gather(), iota(5));
}

TYPED_TEST_P(StageOrder, CountsAreExactAtRest) {
  auto odd_fails =
      TypeParam::make({.concurrency = 3}, [](int x) { return x % 2 != 0 ? throw std::runtime_error{"odd"} : x; });
  for (int i = 0; i < 101; ++i) odd_fails.scatter(i);
  EXPECT_EQ(odd_fails.outcomes().size(), 101U);
  auto const stats = odd_fails.stats();
  EXPECT_EQ(stats.done, 51U);
  EXPECT_EQ(stats.failed, 50U);
  EXPECT_EQ(stats.queued, 0U);
  EXPECT_EQ(stats.running, 0U);
  EXPECT_EQ(stats.retried, 0U);
  EXPECT_EQ(stats.dropped, 0U);
}

// A class with a stage for a member.
template <class Kit>
auto adder(int step) {
  return Kit::make({.concurrency = 2}, [step](int x) { return x + step; });
}
template <class Kit>
struct counter {
  int step = 0;
  decltype(adder<Kit>(0)) next = adder<Kit>(step);
};

TYPED_TEST_P(StageOrder, MembersOfTwoObjectsDoNotMixTheirItems) {
  std::vector<counter<TypeParam>> counters;
  counters.push_back({1});
  counters.push_back({10});  // the first one moves, with its stage
  for (int i = 0; i < 3; ++i) {
    for (auto& each : counters) each.next.scatter(i);
  }
  EXPECT_THAT(counters[1].next.gather(), testing::ElementsAre(10, 11, 12));
  EXPECT_THAT(counters[0].next.gather(), testing::ElementsAre(1, 2, 3));
}

REGISTER_TYPED_TEST_SUITE_P(StageOrder, ResultsComeInScatterOrder, ASecondGatherIsEmptyAndTheStageWorksAgain,
                            ItemsThatAreHeldUpKeepTheirPlace, GatherWaitsForABodyWithoutAResult,
                            OutcomesHaveAnIndexThatStartsAnewWithEveryRound, OfConcurrentGathersEachItemGoesToOne,
                            ManyThreadsMayScatter, ScatterManyKeepsTheOrderAndUnpacksTuples, APlainCallIsNoItem,
                            APlainCallThrowsWhatTheBodyThrows, GatherForTakesNothingOnTimeOut,
                            ProgressEndsWithAllItemsOfTheRound, WhatProgressThrowsLosesNothing, CountsAreExactAtRest,
                            MembersOfTwoObjectsDoNotMixTheirItems);

}  // namespace penstock::test
