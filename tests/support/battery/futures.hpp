// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises of futures as arguments, and of who owns a result.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageFutures : public testing::Test {};
TYPED_TEST_SUITE_P(StageFutures);

TYPED_TEST_P(StageFutures, PairByIdentityInAnyPosition) {
  auto number = TypeParam::make({.concurrency = 3}, [](int x) { return x; });
  auto text = TypeParam::make({.concurrency = 3}, [](int x) { return std::to_string(x); });
  auto join = TypeParam::make({.concurrency = 3},
                              [](int a, std::string const& b, int c) { return b + ":" + std::to_string(a - c); });
  std::vector<future<int>> numbers;
  for (int i = 0; i < 100; ++i) numbers.push_back(number.scatter(i));
  for (int i = 99; i >= 0; i -= 3) {  // a subset, reversed, mixed with values
    join.scatter(numbers[static_cast<std::size_t>(i)], text.scatter(i), 1);
  }
  auto const joined = join.gather();
  ASSERT_EQ(joined.size(), 34U);
  for (std::size_t k = 0; k < joined.size(); ++k) {
    int const i = 99 - 3 * static_cast<int>(k);
    EXPECT_EQ(joined[k], std::to_string(i) + ":" + std::to_string(i - 1));
  }
}

TYPED_TEST_P(StageFutures, OneFeedsManyCallsAndSeveralParametersOfOne) {
  auto number = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto add = TypeParam::make({.concurrency = 2}, [](int a, int b) { return a + b; });
  auto negate = TypeParam::make({.concurrency = 2}, [](int a) { return -a; });
  auto shared = number.scatter(21);
  add.scatter(shared, shared);
  negate.scatter(shared);
  negate.scatter(shared);
  EXPECT_THAT(add.gather(), testing::ElementsAre(42));
  EXPECT_THAT(negate.gather(), testing::ElementsAre(-21, -21));
  EXPECT_EQ(shared.get(), 21);
}

TYPED_TEST_P(StageFutures, ComeFromStagesOfAnyKind) {
  thread_stage before{2, [](int x) { return x + 1; }};
  auto middle = TypeParam::make({.concurrency = 2}, [](int x, int y) { return 100 * x + y; });
  thread_stage after{2, [](int x) { return -x; }};
  for (int i = 0; i < 5; ++i) after.scatter(middle.scatter(before.scatter(i), before.scatter(10 * i)));
  EXPECT_THAT(after.gather(), testing::ElementsAre(-101, -211, -321, -431, -541));
}

TYPED_TEST_P(StageFutures, InAVectorArriveAsAVectorOfValues) {
  auto number = TypeParam::make({.concurrency = 3}, [](int x) { return x; });
  auto sum = TypeParam::make({.concurrency = 3}, [](std::vector<int> const& all, int more) {
    for (int each : all) more += each;
    return more;
  });
  std::vector<future<int>> many;
  for (int i = 0; i < 500; ++i) many.push_back(number.scatter(i));
  sum.scatter(many, 0);
  sum.scatter(std::move(many), 1);
  sum.scatter(std::vector<future<int>>{}, 7);
  EXPECT_THAT(sum.gather(), testing::ElementsAre(124'750, 124'751, 7));
  EXPECT_THAT(number.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageFutures, OfNoValueAreOnlyWaitedFor) {
  gate let;
  auto prepare = TypeParam::make({.concurrency = 2}, [](int) {});
  auto use = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto prepared = prepare.scatter(let.hold(0));
  auto used = use.scatter(prepared, 5);
  EXPECT_EQ(use.scatter(6).get(), 6);
  EXPECT_FALSE(used.ready()) << "it did not wait";
  let.open();
  EXPECT_EQ(used.get(), 5);
  EXPECT_TRUE(prepared.ready());
}

TYPED_TEST_P(StageFutures, ThatAreNotReadyHoldNoPlaceAmongTheRunning) {
  gate let;
  auto next = TypeParam::make({.concurrency = 1, .capacity = 200}, [](int x) { return 10 * x; });
  for (int i = 0; i < 100; ++i) next.scatter(let.hold(i));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(next.scatter(i).get(), 10 * i);
  EXPECT_EQ(next.stats().queued, 100U);
  let.open();
  auto const results = next.gather();
  ASSERT_EQ(results.size(), 100U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], static_cast<int>(10 * i));
}

TYPED_TEST_P(StageFutures, LeaveTheirOwnGatherWhenTheyAreScattered) {
  auto number = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto use = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto first = number.scatter(1);
  auto second = number.scatter(2);
  number.scatter(3);
  use.scatter(second);
  use.scatter(second);
  EXPECT_THAT(number.gather(), testing::ElementsAre(1, 3));
  EXPECT_THAT(use.gather(), testing::ElementsAre(2, 2));
  EXPECT_EQ(first.get(), 1) << "a gathered result that can be copied is still there for its future";
}

TYPED_TEST_P(StageFutures, ThatAreTemporaryOrMovedPassTheirResultOn) {
  auto text = TypeParam::make({.concurrency = 2}, [](int x) { return std::string(100, static_cast<char>('a' + x)); });
  auto extend = TypeParam::make({.concurrency = 2}, [](std::string s) { return s += '!'; });
  extend.scatter(text.scatter(0));
  auto moved = text.scatter(1);
  extend.scatter(std::move(moved));
  EXPECT_FALSE(moved.valid());
  EXPECT_THROW(extend.scatter(moved), std::logic_error);
  auto lent = text.scatter(2);
  extend.scatter(lent);
  EXPECT_THAT(extend.gather(), testing::ElementsAre(std::string(100, 'a') + '!', std::string(100, 'b') + '!',
                                                    std::string(100, 'c') + '!'));
  EXPECT_EQ(lent.get(), std::string(100, 'c')) << "a body that changes its parameter must not change a shared result";
  EXPECT_THAT(text.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageFutures, ThatWereGatheredAreRefused) {
  auto number = TypeParam::make({.concurrency = 2, .name = "number"}, [](int x) { return x; });
  auto add = TypeParam::make({.concurrency = 2}, [](int a, int b) { return a + b; });
  auto gathered = number.scatter(1);
  EXPECT_THAT(number.gather(), testing::ElementsAre(1));
  auto fresh = number.scatter(2);
  try {
    add.scatter(fresh, gathered);
    FAIL() << "a gathered future was scattered";
  } catch (already_gathered const& error) {
    EXPECT_EQ(error.stage(), "number");
    EXPECT_EQ(error.index(), 0U);
  }
  EXPECT_THAT(add.gather(), testing::IsEmpty()) << "the refused call must not count";
  EXPECT_EQ(add.stats().queued, 0U);
  EXPECT_THAT(number.gather(), testing::ElementsAre(2)) << "its other argument stays in its gather";
}

TYPED_TEST_P(StageFutures, OfARefusedScatterGoBackInOrder) {
  auto number = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto add = TypeParam::make({.concurrency = 2}, [](int a, int b) { return a + b; });
  auto gathered = number.scatter(0);
  (void)number.gather();
  std::vector<future<int>> fresh;
  for (int i = 0; i < 3; ++i) fresh.push_back(number.scatter(i));
  for (std::size_t i : {1U, 0U, 2U}) EXPECT_THROW(add.scatter(fresh[i], gathered), already_gathered);
  EXPECT_EQ(number.gather(), iota(3));
}

TYPED_TEST_P(StageFutures, TakenByMoveLeaveTheirGather) {
  auto number = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  auto first = number.scatter(1);
  number.scatter(2);
  EXPECT_EQ(std::move(first).get(), 1);
  EXPECT_FALSE(first.valid());
  EXPECT_THAT(number.gather(), testing::ElementsAre(2));
  EXPECT_THROW((void)first.get(), std::logic_error);
}

TYPED_TEST_P(StageFutures, OfATupleFillOneParameterAnElement) {
  auto load = TypeParam::make({.concurrency = 2}, [](int x) { return std::tuple{x, std::string(1, 'a')}; });
  auto first = TypeParam::make(
      {.concurrency = 2}, [](int x, std::string const& s, int z) { return std::to_string(x) + s + std::to_string(z); });
  auto last = TypeParam::make({.concurrency = 2},
                              [](int z, int x, std::string s) { return std::to_string(z) + std::to_string(x) + s; });
  first.scatter(load.scatter(1), 2);
  last.scatter(2, load.scatter(1));
  EXPECT_THAT(first.gather(), testing::ElementsAre("1a2"));
  EXPECT_THAT(last.gather(), testing::ElementsAre("21a"));
}

TYPED_TEST_P(StageFutures, OfATupleArriveWholeWhereTheParameterIsOne) {
  using pair = std::tuple<int, int>;
  auto load = TypeParam::make({.concurrency = 2}, [](int x) { return pair{x, x + 1}; });
  auto mixed =
      TypeParam::make({.concurrency = 2}, [](pair p, int a, int b) { return std::get<1>(p) * 100 + a * 10 + b; });
  mixed.scatter(load.scatter(1), load.scatter(3));
  EXPECT_THAT(mixed.gather(), testing::ElementsAre(234));
}

TYPED_TEST_P(StageFutures, OfATupleStayWholeWithoutUnpack) {
  using pair = std::tuple<int, int>;
  auto load = TypeParam::make({.concurrency = 2}, [](int x) { return pair{x, x + 1}; });
  auto whole = TypeParam::make({.concurrency = 2, .unpack = false},
                               [](pair const& p) { return std::get<0>(p) + std::get<1>(p); });
  whole.scatter(load.scatter(1));
  EXPECT_THAT(whole.gather(), testing::ElementsAre(3));

  auto two = TypeParam::make({.concurrency = 2, .unpack = false}, [](int a, int b) { return a + b; });
  auto refused = load.scatter(1);
  EXPECT_THROW(two.scatter(refused), std::invalid_argument);
  EXPECT_EQ(two.stats().queued, 0U);
  EXPECT_THAT(two.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageFutures, OutliveTheirStage) {
  future<std::string> kept;
  EXPECT_FALSE(kept.valid());
  {
    auto text = TypeParam::make({.concurrency = 2}, [](int x) { return std::to_string(x); });
    kept = text.scatter(5);
    kept.wait();
  }
  EXPECT_TRUE(kept.ready());
  EXPECT_EQ(kept.get(), "5");
  auto length = TypeParam::make({.concurrency = 1}, [](std::string const& s) { return static_cast<int>(s.size()); });
  length.scatter(kept);
  EXPECT_THAT(length.gather(), testing::ElementsAre(1));
  EXPECT_EQ(std::move(kept).get(), "5");
}

TYPED_TEST_P(StageFutures, MoveOnlyValuesPassThrough) {
  if constexpr (TypeParam::carries_move_only) {
    using pointer = std::unique_ptr<int>;
    auto wrap = TypeParam::make({.concurrency = 2}, [](int x) { return std::make_unique<int>(x); });
    auto plus = TypeParam::make({.concurrency = 2}, [](pointer p, pointer const& q, pointer&& r) {
      return std::make_unique<int>(*p + *q + *r);
    });
    plus.scatter(wrap.scatter(1), wrap.scatter(2), std::make_unique<int>(4));
    auto const sums = plus.gather();
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(*sums.front(), 7);

    auto kept = wrap.scatter(5);
    EXPECT_EQ(*kept.get(), 5);
    EXPECT_EQ(*wrap.gather().front(), 5);
    EXPECT_THROW((void)kept.get(), already_gathered);
    EXPECT_THROW((void)std::move(kept).get(), already_gathered);
  }
}

REGISTER_TYPED_TEST_SUITE_P(StageFutures, PairByIdentityInAnyPosition, OneFeedsManyCallsAndSeveralParametersOfOne,
                            ComeFromStagesOfAnyKind, InAVectorArriveAsAVectorOfValues, OfNoValueAreOnlyWaitedFor,
                            ThatAreNotReadyHoldNoPlaceAmongTheRunning, LeaveTheirOwnGatherWhenTheyAreScattered,
                            ThatAreTemporaryOrMovedPassTheirResultOn, ThatWereGatheredAreRefused,
                            OfARefusedScatterGoBackInOrder, TakenByMoveLeaveTheirGather,
                            OfATupleFillOneParameterAnElement, OfATupleArriveWholeWhereTheParameterIsOne,
                            OfATupleStayWholeWithoutUnpack, OutliveTheirStage, MoveOnlyValuesPassThrough);

}  // namespace penstock::test
