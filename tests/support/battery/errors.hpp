// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises of items that fail, are tried again, or are dropped.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageErrors : public testing::Test {};
TYPED_TEST_SUITE_P(StageErrors);

TYPED_TEST_P(StageErrors, EveryTenthThrowsAndTheOthersAreUntouched) {
  auto picky = TypeParam::make({.concurrency = 4, .name = "picky"}, [](int x) {
    if (x % 10 == 0) throw std::invalid_argument{"cannot take " + std::to_string(x)};
    return x;
  });
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1'000; ++i) picky.scatter(i);
    auto const outcomes = picky.outcomes();
    ASSERT_EQ(outcomes.size(), 1'000U);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      EXPECT_EQ(outcomes[i].index(), i);
      ASSERT_EQ(outcomes[i].has_value(), i % 10 != 0);
      if (outcomes[i]) {
        EXPECT_EQ(*outcomes[i], static_cast<int>(i));
        continue;
      }
      std::string const text = "cannot take " + std::to_string(i);
      EXPECT_EQ(outcomes[i].error().kind(), error_kind::exception);
      EXPECT_EQ(outcomes[i].error().index(), i);
      EXPECT_EQ(outcomes[i].error().stage(), "picky");
      EXPECT_EQ(outcomes[i].error().what(), text);
      EXPECT_EQ(outcomes[i].error().attempts(), 1);
      expect_original<TypeParam, std::invalid_argument>([&] { return outcomes[i].value(); }, text);
    }
  }
  picky.scatter(1);
  EXPECT_THAT(picky.gather(), testing::ElementsAre(1));
}

TYPED_TEST_P(StageErrors, GatherThrowsTheFirstFailureAndHoldsAllOutcomes) {
  auto picky = TypeParam::make({.concurrency = 4, .name = "picky"}, [](int x) {
    if (x == 3 || x == 5) throw std::out_of_range{"no " + std::to_string(x)};
    return std::to_string(x);
  });
  for (int i = 0; i < 8; ++i) picky.scatter(i);
  try {
    (void)picky.gather();
    FAIL() << "gather did not throw";
  } catch (gather_error<std::string>& error) {
    EXPECT_STREQ(error.what(), "stage 'picky', item 3: no 3 (and 1 more of 8 items failed)");
    EXPECT_EQ(error.kind(), error_kind::exception);
    EXPECT_EQ(error.stage(), "picky");
    EXPECT_EQ(error.index(), 3U);
    ASSERT_EQ(error.failures().size(), 2U);
    EXPECT_EQ(error.failures()[1].index(), 5U);
    auto outcomes = error.take_outcomes();
    ASSERT_EQ(outcomes.size(), 8U);
    EXPECT_EQ(*outcomes[7], "7");
    EXPECT_FALSE(outcomes[5]);
  }
  EXPECT_THAT(picky.gather(), testing::IsEmpty()) << "a gather that throws empties the stage as well";
}

TYPED_TEST_P(StageErrors, AFutureRethrowsAndItsOutcomeDoesNot) {
  auto half = TypeParam::make({.concurrency = 2, .name = "half"},
                              [](int x) { return x % 2 != 0 ? throw std::domain_error{"odd"} : x / 2; });
  auto good = half.scatter(4).outcome();
  auto rethrown = half.scatter(5);
  expect_original<TypeParam, std::domain_error>([&] { return rethrown.get(); }, "odd");
  auto bad = std::move(rethrown).outcome();
  EXPECT_EQ(*good, 2);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.index(), 1U);
  EXPECT_STREQ(bad.error().what(), "odd");
  EXPECT_THAT(half.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageErrors, DependantsDoNotRunAndKnowTheOrigin) {
  auto first = TypeParam::make({.concurrency = 2, .name = "first"},
                               [](int x) { return x == 1 ? throw std::logic_error{"boom"} : x; });
  auto second = TypeParam::make({.concurrency = 2, .name = "second"},
                                [](int x) -> int { return x == 1 ? throw std::runtime_error{"it ran"} : x; });
  auto third = TypeParam::make({.concurrency = 2, .name = "third"}, [](int a, int b) { return a + b; });
  std::vector<future<int>> last;
  for (int i = 0; i < 3; ++i) last.push_back(third.scatter(100, second.scatter(first.scatter(i))));
  EXPECT_EQ(last[0].get(), 100);
  expect_original<TypeParam, std::logic_error>([&] { return last[1].get(); }, "boom");
  auto const outcomes = third.outcomes();
  ASSERT_EQ(outcomes.size(), 3U);
  ASSERT_FALSE(outcomes[1]);
  auto const& error = outcomes[1].error();
  EXPECT_EQ(outcomes[1].index(), 1U);
  EXPECT_EQ(error.kind(), error_kind::upstream);
  EXPECT_EQ(error.stage(), "first");
  EXPECT_EQ(error.index(), 1U);
  EXPECT_STREQ(error.what(), "boom");
  EXPECT_EQ(outcomes[2].value(), 102);
  for (auto const& stats : {second.stats(), third.stats()}) {
    EXPECT_EQ(stats.done, 2U);
    EXPECT_EQ(stats.failed, 1U);
  }
}

TYPED_TEST_P(StageErrors, OfSeveralFailedInputsTheFirstArgumentCounts) {
  auto fail = TypeParam::make({.concurrency = 2}, [](std::string const& why) -> int { throw std::runtime_error{why}; });
  auto add = TypeParam::make({.concurrency = 2}, [](int a, int b) { return a + b; });
  auto sum = add.scatter(fail.scatter("left"), fail.scatter("right"));
  EXPECT_STREQ(std::move(sum).outcome().error().what(), "left");
}

TYPED_TEST_P(StageErrors, AFailedInputCountsMoreThanADroppedOne) {
  auto odd = TypeParam::make({.concurrency = 2}, [](int x) { return x % 2 != 0 ? std::optional{x} : std::nullopt; });
  auto fail = TypeParam::make({.concurrency = 2}, [](int) -> int { throw std::runtime_error{"failed"}; });
  auto add = TypeParam::make({.concurrency = 2}, [](int a, int b) { return a + b; });
  auto const error = add.scatter(odd.scatter(0), fail.scatter(0)).outcome().error();
  EXPECT_EQ(error.kind(), error_kind::upstream);
  EXPECT_STREQ(error.what(), "failed");
}

// NOLINTNEXTLINE(misc-multiple-inheritance): what std::throw_with_nested() throws has both, too
struct nests_nothing : std::runtime_error, std::nested_exception {
  using std::runtime_error::runtime_error;
};

TYPED_TEST_P(StageErrors, AnythingMayBeThrown) {
  auto thrower = TypeParam::make({.concurrency = 1}, [](int x) -> int {
    if (x == 0) throw 42;
    if (x == 1) throw std::string{"text"};
    if (x == 2) throw nests_nothing{"alone"};
    if (x == 3) throw std::runtime_error{""};
    try {
      throw std::out_of_range{"inner"};
    } catch (...) {
      std::throw_with_nested(std::runtime_error{"outer"});
    }
  });
  for (int i = 0; i < 5; ++i) thrower.scatter(i);
  auto const outcomes = thrower.outcomes();
  ASSERT_EQ(outcomes.size(), 5U);
  EXPECT_STREQ(outcomes[0].error().what(), "something of type int was thrown");
  EXPECT_STREQ(outcomes[1].error().what(), "something of type std::string was thrown: text");
  EXPECT_STREQ(outcomes[2].error().what(), "alone");
  EXPECT_STREQ(outcomes[3].error().what(), "something without a text was thrown: std::runtime_error");
  EXPECT_STREQ(outcomes[4].error().what(), "outer: inner");
  if constexpr (TypeParam::keeps_exceptions) {
    EXPECT_THROW((void)outcomes[0].value(), int);
  } else {
    EXPECT_ANY_THROW((void)outcomes[0].value());
  }
}

TYPED_TEST_P(StageErrors, AttemptsHaveTheArgumentsThatWereScattered) {
  for (auto const backoff : {0, 1}) {
    auto stubborn = TypeParam::make({.concurrency = 2, .attempts = 3, .backoff = std::chrono::milliseconds{backoff}},
                                    [](std::string text, int number) -> int {
                                      text += '!';  // of a copy: the next attempt must not see it
                                      throw std::runtime_error{text + std::to_string(number)};
                                    });
    auto number = TypeParam::make({.concurrency = 1}, [](int x) { return x; });
    stubborn.scatter("text", number.scatter(7));
    auto const outcomes = stubborn.outcomes();
    ASSERT_EQ(outcomes.size(), 1U);
    EXPECT_STREQ(outcomes[0].error().what(), "text!7");
    EXPECT_EQ(outcomes[0].error().attempts(), 3);
    EXPECT_EQ(stubborn.stats().retried, 2U);
    EXPECT_EQ(stubborn.stats().failed, 1U);
  }
}

TYPED_TEST_P(StageErrors, AttemptsEndWithTheFirstThatSucceeds) {
  auto stubborn = TypeParam::make({.concurrency = 1, .attempts = 4}, [](int x) {
    static int calls = 0;  // of the one thread or process that runs it
    if (++calls % 3 != 0) throw std::runtime_error{"not yet"};
    return x;
  });
  for (int i = 0; i < 5; ++i) {
    stubborn.scatter(i);
    EXPECT_THAT(stubborn.gather(), testing::ElementsAre(i));
  }
  EXPECT_EQ(stubborn.stats().retried, 10U);
  EXPECT_EQ(stubborn.stats().done, 5U);
  EXPECT_EQ(stubborn.stats().failed, 0U);
}

TYPED_TEST_P(StageErrors, AWaitForTheNextAttemptHoldsNoPlaceAmongTheRunning) {
  auto moody = TypeParam::make({.concurrency = 1, .attempts = 2, .backoff = std::chrono::hours{1}},
                               [](int x) { return x < 0 ? throw std::runtime_error{"negative"} : x; });
  auto waiting = moody.scatter(-1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(moody.scatter(i).get(), i);
  EXPECT_FALSE(waiting.ready());
  moody.cancel();
  auto const lost = std::move(waiting).outcome();
  ASSERT_FALSE(lost);
}

TYPED_TEST_P(StageErrors, MaxErrorsCancelsTheRestAndCountsAnew) {
  auto fail = TypeParam::make({.concurrency = 1, .max_errors = 3},
                              [](int x) -> int { throw std::runtime_error{std::to_string(x)}; });
  for (int round = 0; round < 2; ++round) {
    std::size_t scattered = 0;
    try {
      for (; scattered < 100; ++scattered) fail.scatter(1);
    } catch (stage_error const& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(".max_errors = 3"));
    }
    std::size_t thrown = 0;
    auto const outcomes = fail.outcomes();
    EXPECT_EQ(outcomes.size(), scattered);
    for (auto const& each : outcomes) {
      if (each.error().kind() == error_kind::exception) ++thrown;
      else EXPECT_EQ(each.error().kind(), error_kind::cancelled);
    }
    EXPECT_EQ(thrown, 3U);
  }
}

TYPED_TEST_P(StageErrors, GatherTellsWhatFailedFromWhatWasCancelled) {
  gate let;
  auto picky = TypeParam::make({.concurrency = 1, .name = "picky"},
                               [](int x) { return x < 0 ? throw std::runtime_error{"negative"} : x; });
  auto const text_after = [&](int bad, int cancelled) {
    for (int i = 0; i < bad; ++i) picky.scatter(-1).wait();
    for (int i = 0; i < cancelled; ++i) picky.scatter(let.hold(i));
    if (cancelled > 0) picky.cancel();
    try {
      (void)picky.gather();
    } catch (stage_error const& error) {
      return std::string{error.what()};
    }
    return std::string{"nothing was thrown"};
  };
  auto held = picky.scatter(let.hold(1));
  for (int i = 0; i < 2; ++i) picky.scatter(-1).wait();
  EXPECT_THAT(text_after(0, 1), testing::EndsWith(" (and 2 of 4 items failed, 1 more was cancelled)"));
  EXPECT_EQ(text_after(1, 0), "stage 'picky', item 0: negative");
  EXPECT_THAT(text_after(2, 3), testing::EndsWith(": negative (and 1 more of 5 items failed, 3 were cancelled)"));
  EXPECT_THAT(text_after(1, 1), testing::EndsWith(": negative (and 1 of 2 items was cancelled)"));
  EXPECT_THAT(text_after(0, 3), testing::EndsWith(" (and 2 more of 3 items were cancelled)"));
}

TYPED_TEST_P(StageErrors, MaxErrorsDoesNotCountWhatCameWithAnInput) {
  auto fail = TypeParam::make({.concurrency = 1}, [](int) -> int { throw std::runtime_error{"origin"}; });
  auto next = TypeParam::make({.concurrency = 1, .max_errors = 1}, [](int x) { return x; });
  for (int i = 0; i < 5; ++i) next.scatter(fail.scatter(i)).wait();
  next.scatter(1);
  auto const outcomes = next.outcomes();
  ASSERT_EQ(outcomes.size(), 6U);
  EXPECT_EQ(outcomes[0].error().kind(), error_kind::upstream);
  EXPECT_EQ(outcomes[5].value(), 1);
}

TYPED_TEST_P(StageErrors, ABodyMayDropItemsAndWhatDependsOnThem) {
  auto odd = TypeParam::make({.concurrency = 2}, [](int x) { return x % 2 != 0 ? std::optional{x} : std::nullopt; });
  auto next = TypeParam::make({.concurrency = 2}, [](int x) { return 2 * x; });
  for (int i = 0; i < 6; ++i) next.scatter(odd.scatter(i));
  EXPECT_THAT(next.gather(), testing::ElementsAre(2, 6, 10));
  EXPECT_EQ(next.stats().dropped, 3U);
  EXPECT_EQ(odd.stats().dropped, 3U);
  for (int i = 0; i < 4; ++i) next.scatter(odd.scatter(i));
  auto const outcomes = next.outcomes();
  ASSERT_EQ(outcomes.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(outcomes[i].index(), i);
    if (i % 2 != 0) EXPECT_EQ(outcomes[i].value(), static_cast<int>(2 * i));
    else EXPECT_EQ(outcomes[i].error().kind(), error_kind::dropped);
  }
  EXPECT_THROW((void)outcomes[0].value(), stage_error);
}

TYPED_TEST_P(StageErrors, DiscardResultsKeepsFailuresOnly) {
  auto effects =
      TypeParam::make({.discard_results = true}, [](int x) { return x == 2 ? throw std::runtime_error{"two"} : x; });
  for (int i = 0; i < 5; ++i) effects.scatter(i);
  auto const outcomes = effects.outcomes();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].index(), 2U);
  auto held = effects.scatter(7);
  EXPECT_EQ(held.get(), 7) << "what somebody holds a future of is kept";
  EXPECT_THAT(effects.gather(), testing::IsEmpty());
  EXPECT_EQ(effects.stats().done, 5U);
}

TYPED_TEST_P(StageErrors, FailuresThatNobodyAsksAboutReachTheHandlerOnce) {
  std::atomic<int> reported{0};
  auto const before = on_unobserved_error([&](item_error const& error) {
    EXPECT_STREQ(error.what(), "lost");
    ++reported;
  });
  for (bool const asked : {false, true}) {
    auto fail = TypeParam::make({.concurrency = 2}, [](int) -> int { throw std::runtime_error{"lost"}; });
    auto next = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
    next.scatter(fail.scatter(1));
    if (asked) (void)next.outcomes();
    else
      while (next.stats().failed == 0) std::this_thread::yield();
  }
  on_unobserved_error(before);
  EXPECT_EQ(reported, 1);
}

REGISTER_TYPED_TEST_SUITE_P(StageErrors, EveryTenthThrowsAndTheOthersAreUntouched,
                            GatherThrowsTheFirstFailureAndHoldsAllOutcomes, AFutureRethrowsAndItsOutcomeDoesNot,
                            DependantsDoNotRunAndKnowTheOrigin, OfSeveralFailedInputsTheFirstArgumentCounts,
                            AFailedInputCountsMoreThanADroppedOne, AnythingMayBeThrown,
                            AttemptsHaveTheArgumentsThatWereScattered, AttemptsEndWithTheFirstThatSucceeds,
                            AWaitForTheNextAttemptHoldsNoPlaceAmongTheRunning, MaxErrorsCancelsTheRestAndCountsAnew,
                            GatherTellsWhatFailedFromWhatWasCancelled, MaxErrorsDoesNotCountWhatCameWithAnInput,
                            ABodyMayDropItemsAndWhatDependsOnThem, DiscardResultsKeepsFailuresOnly,
                            FailuresThatNobodyAsksAboutReachTheHandlerOnce);

}  // namespace penstock::test
