// SPDX-License-Identifier: Apache-2.0
// What a stage of any kind promises of cancel, close and its own end.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageEnds : public testing::Test {};
TYPED_TEST_SUITE_P(StageEnds);

TYPED_TEST_P(StageEnds, CancelEndsWhatHasNotStartedAndLetsTheStageBeUsedAgain) {
  gate let;
  auto stage = TypeParam::make({.concurrency = 1, .capacity = 8, .name = "cancelled"}, [](int x) { return x; });
  auto dependent = TypeParam::make({.concurrency = 1}, [](int x) { return x; });
  stage.scatter(0).wait();
  for (int i = 1; i < 5; ++i) stage.scatter(let.hold(i));
  auto of_cancelled = dependent.scatter(stage.scatter(let.hold(5)));
  stage.cancel();
  EXPECT_THROW(stage.scatter(6), stage_error);
  EXPECT_THROW((void)stage.try_scatter(6), stage_error);
  EXPECT_THROW(stage.scatter_many(std::vector{6}), stage_error);
  of_cancelled.wait();  // nobody has opened the gate: it is not waited for
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 5U);
  EXPECT_EQ(outcomes[0].value(), 0);
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(outcomes[i].error().kind(), error_kind::cancelled);
    EXPECT_EQ(outcomes[i].error().stage(), "cancelled");
    EXPECT_EQ(outcomes[i].error().index(), i);
    EXPECT_THROW((void)outcomes[i].value(), stage_error);
  }
  EXPECT_EQ(dependent.outcomes().at(0).error().kind(), error_kind::cancelled);
  stage.scatter(7);
  EXPECT_THAT(stage.gather(), testing::ElementsAre(7));
}

// A stage that is full, a thread that scatters into it, and what `end` does to it; in many rounds, so that in most of
// them the thread waits for room already.
template <class Kit, class Refusal, class End>
void expect_refusal_of_a_blocked_scatter(error_kind kind, End const& end) {
  for (int round = 0; round < 100; ++round) {
    gate let;
    auto stage = Kit::make({.concurrency = 1, .capacity = 1}, [](int x) { return x; });
    auto first = stage.scatter(let.hold(1));
    std::jthread blocked{[&] {
      try {
        stage.scatter(2);
        ADD_FAILURE() << "the scatter found room";
      } catch (Refusal const& error) {
        EXPECT_EQ(error.kind(), kind);
      }
    }};
    for (int looks = 0; looks < 20 * (round % 4); ++looks) std::this_thread::yield();
    end(stage);
    blocked.join();
    let.open();
    first.wait();
    EXPECT_EQ(stage.outcomes().size(), 1U);
  }
}

TYPED_TEST_P(StageEnds, CancelReachesAScatterThatWaitsForRoom) {
  expect_refusal_of_a_blocked_scatter<TypeParam, stage_error>(error_kind::cancelled,
                                                              [](auto& stage) { stage.cancel(); });
}

TYPED_TEST_P(StageEnds, CloseReachesAScatterThatWaitsForRoom) {
  expect_refusal_of_a_blocked_scatter<TypeParam, stage_closed>(error_kind::stage_closed,
                                                               [](auto& stage) { stage.close(); });
}

TYPED_TEST_P(StageEnds, CloseFinishesWhatWasAcceptedAndTakesNoMore) {
  gate let;
  auto stage = TypeParam::make({.concurrency = 2}, [](int x) { return x; });
  stage.scatter(0);
  stage.scatter(let.hold(1));
  stage.close();
  EXPECT_THROW(stage.scatter(2), stage_closed);
  EXPECT_THROW((void)stage.try_scatter(2), stage_closed);
  EXPECT_THROW(stage.scatter_many(std::vector{2}), stage_closed);
  let.open();
  EXPECT_EQ(stage.gather(), iota(2));
  EXPECT_THROW(stage.scatter(2), stage_closed) << "for good, also after a gather";
}

TYPED_TEST_P(StageEnds, ACancelledStageThatIsClosedStaysClosed) {
  auto stage = TypeParam::make({.concurrency = 1}, [](int x) { return x; });
  stage.cancel();
  stage.close();
  EXPECT_THROW(stage.scatter(1), stage_closed);
  EXPECT_THAT(stage.gather(), testing::IsEmpty());
  EXPECT_THROW(stage.scatter(1), stage_closed);
}

TYPED_TEST_P(StageEnds, EitherEndOfAChainMayGoFirst) {
  for (bool const upstream_first : {true, false}) {
    gate let;
    std::optional upstream{TypeParam::make({.concurrency = 1, .name = "up"}, [](int x) { return x; })};
    std::optional downstream{TypeParam::make({.concurrency = 1, .name = "down"}, [](int x) { return x; })};
    std::vector<future<int>> ends;
    for (int i = 0; i < 5; ++i) ends.push_back(downstream->scatter(upstream->scatter(let.hold(i))));
    if (upstream_first) upstream.reset();
    else downstream.reset();
    for (auto& each : ends) {  // nobody has opened the gate
      auto const outcome = std::move(each).outcome();
      ASSERT_FALSE(outcome);
      EXPECT_EQ(outcome.error().kind(), error_kind::cancelled);
      EXPECT_EQ(outcome.error().stage(), upstream_first ? "up" : "down");
    }
    auto& left = upstream_first ? downstream : upstream;
    left->scatter(7);
    EXPECT_THAT(left->gather(), testing::ElementsAre(7)) << "the other end works on";
    let.open();
  }
}

TYPED_TEST_P(StageEnds, TheEndMayComeAtAnyMoment) {
  constexpr int items = 24;
  for (int moment = 0; moment < items; ++moment) {
    std::vector<future<int>> first;
    std::vector<future<int>> second;
    {
      auto upstream = TypeParam::make({.concurrency = 3, .capacity = 4}, [](int x) { return x; });
      auto downstream = TypeParam::make({.concurrency = 2}, [](int x) { return 10 * x; });
      for (int i = 0; i < items; ++i) {
        first.push_back(upstream.scatter(i));
        second.push_back(downstream.scatter(first.back()));
      }
      second[static_cast<std::size_t>(moment)].wait();
    }
    for (int i = 0; i < items; ++i) {
      auto const x = std::move(first[static_cast<std::size_t>(i)]).outcome();
      auto const y = std::move(second[static_cast<std::size_t>(i)]).outcome();
      EXPECT_TRUE(x ? *x == i : x.error().kind() == error_kind::cancelled) << i;
      EXPECT_TRUE(y ? *y == 10 * i : y.error().kind() == error_kind::cancelled) << i;
      EXPECT_TRUE(i != moment || (x && y)) << "it had been waited for";
    }
  }
}

TYPED_TEST_P(StageEnds, AWaitForTheNextAttemptEndsWithTheStage) {
  future<int> lost;
  {
    auto stage = TypeParam::make({.concurrency = 1, .attempts = 2, .backoff = std::chrono::hours{1}},
                                 [](int x) { return x < 0 ? throw std::runtime_error{"negative"} : x; });
    lost = stage.scatter(-1);
    EXPECT_EQ(stage.scatter(1).get(), 1);  // so that the other waits for its next attempt
  }
  EXPECT_ANY_THROW((void)lost.get());
}

REGISTER_TYPED_TEST_SUITE_P(StageEnds, CancelEndsWhatHasNotStartedAndLetsTheStageBeUsedAgain,
                            CancelReachesAScatterThatWaitsForRoom, CloseReachesAScatterThatWaitsForRoom,
                            CloseFinishesWhatWasAcceptedAndTakesNoMore, ACancelledStageThatIsClosedStaysClosed,
                            EitherEndOfAChainMayGoFirst, TheEndMayComeAtAnyMoment,
                            AWaitForTheNextAttemptEndsWithTheStage);

}  // namespace penstock::test
