// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises of its capacity.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageBounds : public testing::Test {};
TYPED_TEST_SUITE_P(StageBounds);

TYPED_TEST_P(StageBounds, ScatterBlocksAtCapacityUntilAnItemIsFinished) {
  gate let;
  auto same = TypeParam::make({.concurrency = 2, .capacity = 8}, [](int x) { return x; });
  for (int i = 0; i < 8; ++i) same.scatter(let.hold(i));
  EXPECT_FALSE(same.try_scatter(100).has_value());
  std::atomic<int> accepted{8};
  std::jthread producer{[&] {
    for (int i = 8; i < 100; ++i) {
      same.scatter(let.hold(i));
      ++accepted;
    }
  }};
  for (int finished = 0; finished < 92; ++finished) {
    while (accepted < 8 + finished) std::this_thread::yield();
    // A producer that did not block would have run on by now.
    for (int looks = 0; looks < 200; ++looks) std::this_thread::yield();
    EXPECT_EQ(accepted, 8 + finished);
    EXPECT_EQ(same.stats().queued + same.stats().running, 8U);
    let.pass(1);  // one item finishes, one place is free
  }
  let.pass(8);
  producer.join();
  EXPECT_EQ(same.gather(), iota(100));
}

TYPED_TEST_P(StageBounds, FinishedItemsTakeNoRoomWhetherGatheredOrNot) {
  auto same = TypeParam::make({.concurrency = 1, .capacity = 1}, [](int x) { return x; });
  for (int i = 0; i < 100; ++i) same.scatter(i).wait();
  auto room = same.try_scatter(100);
  ASSERT_TRUE(room.has_value());
  EXPECT_EQ(room->get(), 100);
  EXPECT_EQ(same.gather(), iota(101));
}

TYPED_TEST_P(StageBounds, ManyBlockedProducersAllGetThrough) {
  auto slow = TypeParam::make({.concurrency = 1, .capacity = 1}, [](int x) {
    std::this_thread::yield();
    return x;
  });
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 32; ++p) {
      producers.emplace_back([&slow] {
        for (int i = 0; i < 20; ++i) slow.scatter(i);
      });
    }
  }
  EXPECT_EQ(slow.gather().size(), 640U);
}

TYPED_TEST_P(StageBounds, ScatterManyBlocksAtCapacityToo) {
  gate let;
  auto same = TypeParam::make({.concurrency = 2, .capacity = 4}, [](int x) { return x; });
  same.scatter(let.hold(0));
  std::atomic<bool> all_in{false};
  std::jthread producer{[&] {
    same.scatter_many(std::vector{1, 2});
    for (int i = 3; i < 7; ++i) same.scatter(let.hold(i));
    same.scatter_many(std::vector{7, 8});
    all_in = true;
  }};
  while (same.stats().queued < 4) std::this_thread::yield();  // 0, 3, 4 and 5
  for (int looks = 0; looks < 200; ++looks) std::this_thread::yield();
  EXPECT_FALSE(all_in);
  let.open();
  producer.join();
  EXPECT_EQ(same.gather(), iota(9));
}

TYPED_TEST_P(StageBounds, ARefusedTryScatterLeavesItsArgumentsUntouched) {
  gate let;
  auto lengths = TypeParam::make({.concurrency = 1, .capacity = 1},
                                 [](int first, std::vector<int> const& numbers, std::string const& text) {
                                   return first + static_cast<int>(numbers.size() + text.size());
                                 });
  auto numbers_up_to = TypeParam::make({.concurrency = 2}, [](int n) { return iota(n); });
  lengths.scatter(let.hold(1), iota(1), "");
  auto numbers = numbers_up_to.scatter(5);
  std::string text(100, 'x');
  EXPECT_FALSE(lengths.try_scatter(7, std::move(numbers), std::move(text)).has_value());
  ASSERT_TRUE(numbers.valid());
  EXPECT_EQ(numbers.get(), iota(5));
  EXPECT_EQ(text.size(), 100U);
  EXPECT_THAT(numbers_up_to.gather(), testing::ElementsAre(iota(5))) << "a refused future stays in its stage's gather";
  let.open();
  EXPECT_THAT(lengths.gather(), testing::ElementsAre(2));
}

REGISTER_TYPED_TEST_SUITE_P(StageBounds, ScatterBlocksAtCapacityUntilAnItemIsFinished,
                            FinishedItemsTakeNoRoomWhetherGatheredOrNot, ManyBlockedProducersAllGetThrough,
                            ScatterManyBlocksAtCapacityToo, ARefusedTryScatterLeavesItsArgumentsUntouched);

}  // namespace penstock::test
