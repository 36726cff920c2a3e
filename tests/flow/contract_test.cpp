// SPDX-License-Identifier: Apache-2.0
// What a stage promises beyond scatter and gather: cancel and close, attempts, filters, deadlines, inline stages.
#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::error_kind;
using penstock::thread_stage;
using testing::ElementsAre;
using testing::HasSubstr;

int twice(int x) { return 2 * x; }

TEST(Cancel, EndsWhatHasNotStartedAndLetsTheStageBeUsedAgain) {
  std::latch entered{1};
  std::latch leave{1};
  thread_stage stage{{.concurrency = 1, .capacity = 8}, [&](int x) {
                       if (x == 0) {
                         entered.count_down();
                         leave.wait();
                       }
                       return x;
                     }};
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  auto dependent = thread_stage{twice};
  auto of_cancelled = dependent.scatter(stage.scatter(5));
  entered.wait();
  stage.cancel();
  EXPECT_THROW(stage.scatter(6), penstock::stage_error);
  EXPECT_THROW((void)stage.try_scatter(6), penstock::stage_error);
  of_cancelled.wait();
  leave.count_down();
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 5U);
  EXPECT_TRUE(outcomes[0].has_value());
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(outcomes[i].error().kind(), error_kind::cancelled);
  EXPECT_EQ(dependent.outcomes().at(0).error().kind(), error_kind::cancelled);
  stage.scatter(7);
  EXPECT_THAT(stage.gather(), ElementsAre(7));
}

TEST(Cancel, ReachesAScatterThatWaitsForRoomAndARunningBody) {
  std::latch entered{1};
  thread_stage stage{{.concurrency = 1, .capacity = 1}, [&](std::stop_token stop, int x) {
                       entered.count_down();
                       while (!stop.stop_requested()) std::this_thread::yield();
                       return x;
                     }};
  stage.scatter(1);
  entered.wait();
  std::thread blocked{[&] {
    try {
      stage.scatter(2);
      ADD_FAILURE() << "the scatter found room";
    } catch (penstock::stage_error const& error) {
      EXPECT_EQ(error.kind(), error_kind::cancelled);
    }
  }};
  std::this_thread::sleep_for(5ms);  // so that it is likely to wait; the result does not depend on it
  stage.cancel();
  blocked.join();
  EXPECT_THAT(stage.gather(), ElementsAre(1));
}

TEST(Close, FinishesWhatWasAcceptedAndTakesNoMore) {
  thread_stage stage{twice};
  stage.scatter(1);
  stage.close();
  EXPECT_THROW(stage.scatter(2), penstock::stage_closed);
  EXPECT_THAT(stage.gather(), ElementsAre(2));
  EXPECT_THROW(stage.scatter(2), penstock::stage_closed);
}

TEST(MaxErrors, CancelsTheRestAndCountsAnew) {
  thread_stage stage{{.concurrency = 1, .max_errors = 3},
                     [](int x) -> int { throw std::runtime_error{std::to_string(x)}; }};
  for (int round = 0; round < 2; ++round) {
    std::size_t scattered = 0;
    try {
      for (; scattered < 100; ++scattered) stage.scatter(1);
    } catch (penstock::stage_error const& error) {
      EXPECT_THAT(error.what(), HasSubstr(".max_errors = 3"));
    }
    std::size_t thrown = 0;
    auto const outcomes = stage.outcomes();
    EXPECT_EQ(outcomes.size(), scattered);
    for (auto const& each : outcomes) thrown += each.error().kind() == error_kind::exception ? 1 : 0;
    EXPECT_EQ(thrown, 3U);
  }
}

TEST(Attempts, TryAgainWithTheSameArguments) {
  for (auto const backoff : {0ms, 1ms}) {
    std::atomic<int> calls{0};
    thread_stage stage{{.concurrency = 2, .attempts = 3, .backoff = backoff},
                       [&](std::string text, std::string& other) {
                         EXPECT_EQ(text, "text");
                         EXPECT_EQ(other, "other");
                         text += '!';
                         other += '!';
                         if (++calls % 3 != 0) throw std::runtime_error{"not yet"};
                         return text + other;
                       }};
    stage.scatter("text", "other");
    EXPECT_THAT(stage.gather(), ElementsAre("text!other!"));
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(stage.stats().retried, 2U);
  }
}

TEST(Attempts, AreCountedInTheError) {
  thread_stage stage{{.attempts = 4}, [](int) -> int { throw std::runtime_error{"never"}; }};
  stage.scatter(1);
  EXPECT_EQ(stage.outcomes().at(0).error().attempts(), 4);
}

TEST(Attempts, RefuseWhatCannotBeCopiedByValue) {
  auto const take = [](std::unique_ptr<int> x) { return *x; };
  EXPECT_THROW((thread_stage{{.attempts = 2}, take}), std::invalid_argument);
  thread_stage refer{{.attempts = 2}, [tried = 0](std::unique_ptr<int>& x) mutable {
                       if (tried++ == 0) throw std::runtime_error{"first"};
                       return *x;
                     }};
  refer.scatter(std::make_unique<int>(5));
  EXPECT_THAT(refer.gather(), ElementsAre(5));
}

TEST(Attempts, EndWhenTheStageDoes) {
  penstock::future<int> lost;
  {
    std::latch tried{1};
    thread_stage stage{{.attempts = 2, .backoff = std::chrono::hours{1}}, [&](int) -> int {
                         tried.count_down();
                         throw std::runtime_error{"first"};
                       }};
    lost = stage.scatter(1);
    tried.wait();
  }
  EXPECT_THROW((void)lost.get(), std::runtime_error);
}

TEST(Filter, DropsItemsAndWhatDependsOnThem) {
  thread_stage odd{[](int x) { return x % 2 != 0 ? std::optional{x} : std::nullopt; }};
  thread_stage next{twice};
  for (int i = 0; i < 6; ++i) next.scatter(odd.scatter(i));
  EXPECT_THAT(next.gather(), ElementsAre(2, 6, 10));
  EXPECT_EQ(next.stats().dropped, 3U);
  odd.scatter(2);
  auto const outcomes = odd.outcomes();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].error().kind(), error_kind::dropped);
  EXPECT_THROW(outcomes[0].value(), penstock::stage_error);
}

TEST(GatherFor, TakesNothingOnTimeOut) {
  std::latch leave{1};
  thread_stage stage{[&](int x) {
    if (x == 1) leave.wait();
    return x;
  }};
  stage.scatter(0);
  auto slow = stage.scatter(1);
  EXPECT_EQ(stage.gather_for(1ms), std::nullopt);
  EXPECT_FALSE(slow.wait_for(1ms));
  leave.count_down();
  EXPECT_TRUE(slow.wait_for(std::chrono::hours::max()));
  EXPECT_THAT(stage.gather_for(1h).value(), ElementsAre(0, 1));
  EXPECT_TRUE(stage.gather().empty());
}

TEST(Progress, EndsWithAllItemsOfTheRound) {
  thread_stage stage{[](int x) { return x % 2 != 0 ? throw std::runtime_error{"odd"} : x; }};
  for (int const items : {10, 4, 7}) {
    for (int i = 0; i < items; ++i) stage.scatter(i);
    penstock::progress last;
    EXPECT_THROW(stage.gather({.progress =
                                   [&](penstock::progress const& now) {
                                     EXPECT_GE(now.done + now.failed, last.done + last.failed);
                                     last = now;
                                   }}),
                 penstock::stage_error);
    EXPECT_EQ(last.total, static_cast<std::uint64_t>(items));
    EXPECT_EQ(last.done, static_cast<std::uint64_t>((items + 1) / 2));
    EXPECT_EQ(last.failed, static_cast<std::uint64_t>(items / 2));
  }
}

TEST(Inline, RunsBodiesInScatter) {
  auto const here = std::this_thread::get_id();
  thread_stage outside{{.concurrency = 2}, twice};
  thread_stage stage{{.concurrency = 0}, [here](int x) {
                       EXPECT_EQ(std::this_thread::get_id(), here);
                       return x + 1;
                     }};
  EXPECT_TRUE(stage.scatter(outside.scatter(1)).ready());
  stage.scatter(5);
  stage.scatter_many(std::vector{7, 8});
  EXPECT_THAT(stage.gather(), ElementsAre(3, 6, 8, 9));
}

TEST(ScatterMany, KeepsTheOrderAndUnpacksTuples) {
  thread_stage add{{.concurrency = 2, .capacity = 10}, [](int a, int b) { return a + b; }};
  std::vector<std::tuple<int, int>> pairs;
  for (int i = 0; i < 1000; ++i) pairs.emplace_back(i, i);
  add.scatter_many(pairs);
  auto const sums = add.gather();
  ASSERT_EQ(sums.size(), 1000U);
  for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_EQ(sums[i], static_cast<int>(2 * i));
}

TEST(DiscardResults, KeepsFailuresOnly) {
  thread_stage stage{{.discard_results = true}, [](int x) { return x == 2 ? throw std::runtime_error{"two"} : x; }};
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].index(), 2U);
}

TEST(UnobservedErrors, ReachTheHandlerOnce) {
  std::atomic<int> reported{0};
  auto const before = penstock::on_unobserved_error([&](penstock::item_error const& error) {
    EXPECT_STREQ(error.what(), "lost");
    ++reported;
  });
  for (bool const asked : {false, true}) {
    thread_stage stage{[](int) -> int { throw std::runtime_error{"lost"}; }};
    thread_stage next{twice};
    next.scatter(stage.scatter(1));
    if (asked) (void)next.outcomes();
    else
      while (next.stats().failed == 0) std::this_thread::yield();
  }
  penstock::on_unobserved_error(before);
  EXPECT_EQ(reported, 1);
}

TEST(WouldDeadlock, IsThrownForAStageFurtherDown) {
  thread_stage<int(int)>* last = nullptr;
  thread_stage first{[&](int x) {
    if (x == 1) (void)last->gather();
    return x;
  }};
  thread_stage middle{twice};
  thread_stage end{twice};
  last = &end;
  end.scatter(middle.scatter(first.scatter(0)));
  EXPECT_THAT(end.gather(), ElementsAre(0));
  EXPECT_THROW((void)first.scatter(1).get(), penstock::would_deadlock);
}

}  // namespace
