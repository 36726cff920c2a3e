// SPDX-License-Identifier: Apache-2.0
// What can be seen only where bodies share the memory of the test.
#pragma once

#include "tests/support/battery/kit.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::test {

template <class Kit>
class StageSharedMemory : public testing::Test {
  static_assert(Kit::shares_memory);
};
TYPED_TEST_SUITE_P(StageSharedMemory);

TYPED_TEST_P(StageSharedMemory, ManyBlockedBodiesRunAtOnce) {
  for (int const bodies : {10, TypeParam::many_bodies}) {
    std::latch all_in{bodies};  // none returns before all are inside
    auto meet = TypeParam::make({.concurrency = bodies}, [&all_in](int x) {
      all_in.arrive_and_wait();
      return x;
    });
    for (int i = 0; i < bodies; ++i) meet.scatter(i);
    EXPECT_EQ(meet.gather(), iota(bodies));
  }
}

TYPED_TEST_P(StageSharedMemory, TheLimitIsNeverExceeded) {
  for (int const limit : {1, 3, 17}) {
    std::atomic<int> inside{0};
    std::atomic<int> peak{0};
    auto watched = TypeParam::make({.concurrency = limit}, [&](int) {
      int const now = ++inside;
      for (int seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::yield();
      --inside;
    });
    for (int i = 0; i < 5'000; ++i) watched.scatter(i);
    watched.gather();
    EXPECT_LE(peak, limit);
    EXPECT_GE(peak, 1);
  }
}

TYPED_TEST_P(StageSharedMemory, CountsTellWhatRunsAndWhatWaits) {
  std::latch both_in{2};
  std::latch go{1};
  auto hold = TypeParam::make({.concurrency = 2}, [&](int x) {
    if (x < 2) both_in.count_down();
    go.wait();
  });
  hold.scatter(0);
  hold.scatter(1);
  both_in.wait();
  hold.scatter(2);
  EXPECT_EQ(hold.stats().running, 2U);
  EXPECT_EQ(hold.stats().queued, 1U);
  go.count_down();
}

TYPED_TEST_P(StageSharedMemory, EachItemIsRunOnceAndEachAttemptOnce) {
  std::vector<std::atomic<int>> calls(1'000);
  auto odd_twice = TypeParam::make({.concurrency = 4, .attempts = 2}, [&calls](int x) {
    if (++calls[static_cast<std::size_t>(x)] == 1 && x % 2 != 0) throw std::runtime_error{"once more"};
    return x;
  });
  for (int i = 0; i < 1'000; ++i) odd_twice.scatter(i);
  EXPECT_EQ(odd_twice.gather(), iota(1'000));
  for (std::size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i], i % 2 == 0 ? 1 : 2) << i;
}

TYPED_TEST_P(StageSharedMemory, AttemptsHaveArgumentsByReferenceAnew) {
  for (auto const backoff : {0, 1}) {
    std::atomic<int> calls{0};
    auto third_time = TypeParam::make({.concurrency = 2, .attempts = 3, .backoff = std::chrono::milliseconds{backoff}},
                                      [&calls](std::string text, std::string& other) {
                                        EXPECT_EQ(text, "text");
                                        EXPECT_EQ(other, "other");
                                        text += '!';
                                        other += '!';
                                        if (++calls % 3 != 0) throw std::runtime_error{"not yet"};
                                        return text + other;
                                      });
    third_time.scatter("text", "other");
    EXPECT_THAT(third_time.gather(), testing::ElementsAre("text!other!"));
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(third_time.stats().retried, 2U);
  }
}

// Counts copies, to tell a move from a copy, and the living.
struct counted {
  static inline std::atomic<int> copies{0};
  static inline std::atomic<int> alive{0};
  int value;
  explicit counted(int v) : value{v} { ++alive; }
  counted(counted const& other) : value{other.value} {
    ++copies;
    ++alive;
  }
  counted(counted&& other) noexcept : value{other.value} { ++alive; }
  counted& operator=(counted const&) = default;
  counted& operator=(counted&&) = default;
  ~counted() { --alive; }
};

TYPED_TEST_P(StageSharedMemory, TheLastOwnerGetsTheResultByMove) {
  counted::copies = 0;
  auto make = TypeParam::make({.concurrency = 2}, [](int v) { return counted{v}; });
  auto by_value = TypeParam::make({.concurrency = 2}, [](counted c) { return c.value; });
  auto by_reference = TypeParam::make({.concurrency = 2}, [](counted const& c) { return c.value; });
  by_value.scatter(make.scatter(1));
  by_reference.scatter(make.scatter(2));
  auto moved = make.scatter(3);
  by_value.scatter(std::move(moved));
  EXPECT_THAT(by_value.gather(), testing::ElementsAre(1, 3));
  EXPECT_THAT(by_reference.gather(), testing::ElementsAre(2));
  for (int i = 0; i < 5; ++i) make.scatter(i);
  EXPECT_EQ(make.gather().size(), 5U);
  EXPECT_EQ(std::move(make.scatter(7)).get().value, 7);
  EXPECT_EQ(counted::copies, 0);
}

TYPED_TEST_P(StageSharedMemory, ASharedResultIsCopiedOrReferred) {
  counted::copies = 0;
  auto make = TypeParam::make({.concurrency = 2}, [](int v) { return counted{v}; });
  auto by_value = TypeParam::make({.concurrency = 2}, [](counted c) { return c.value; });
  auto by_reference = TypeParam::make({.concurrency = 2}, [](counted const& c) { return c.value; });
  auto shared = make.scatter(1);
  by_reference.scatter(shared);
  (void)by_reference.gather();
  EXPECT_EQ(counted::copies, 0);
  by_value.scatter(shared);
  (void)by_value.gather();
  EXPECT_EQ(counted::copies, 1);
  EXPECT_EQ(shared.get().value, 1);
}

TYPED_TEST_P(StageSharedMemory, ValuesDieWithTheirLastConsumer) {
  int const before = counted::alive;
  auto make = TypeParam::make({.concurrency = 2}, [](int v) { return counted{v}; });
  auto use = TypeParam::make({.concurrency = 2}, [](counted const& c) { return c.value; });
  std::vector<future<int>> results;
  for (int i = 0; i < 100; ++i) results.push_back(use.scatter(make.scatter(i)));
  for (auto& each : results) each.wait();
  (void)use.gather();
  EXPECT_EQ(counted::alive, before);
}

TYPED_TEST_P(StageSharedMemory, DiscardedResultsDieAtOnce) {
  int const before = counted::alive;
  auto make = TypeParam::make({.concurrency = 2, .discard_results = true}, [](int v) { return counted{v}; });
  for (int i = 0; i < 100; ++i) make.scatter(i);
  (void)make.scatter(100).get();
  while (make.stats().done < 101) std::this_thread::yield();
  while (counted::alive > before) std::this_thread::yield();  // for ever, if they were kept for a gather
  EXPECT_THAT(make.gather(), testing::IsEmpty());
}

TYPED_TEST_P(StageSharedMemory, CancelDoesNotWaitForRunningBodiesAndLetsThemFinish) {
  std::latch entered{1};
  std::latch leave{1};
  auto stage = TypeParam::make({.concurrency = 1}, [&](int x) {
    if (x == 0) {
      entered.count_down();
      leave.wait();
    }
    return x;
  });
  for (int i = 0; i < 5; ++i) stage.scatter(i);
  entered.wait();
  stage.cancel();
  leave.count_down();
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 5U);
  EXPECT_EQ(outcomes[0].value(), 0);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(outcomes[i].error().kind(), error_kind::cancelled);
}

TYPED_TEST_P(StageSharedMemory, CancelAndTheEndAskRunningBodiesToStop) {
  for (bool const by_cancel : {true, false}) {
    std::latch entered{1};
    auto const wait_for_stop = [&](std::stop_token stop, int x) {
      entered.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
      return x;
    };
    std::optional stage{TypeParam::make({.concurrency = 1}, wait_for_stop)};
    auto running = stage->scatter(1);
    entered.wait();
    if (by_cancel) stage->cancel();
    else stage.reset();
    EXPECT_EQ(running.get(), 1);
  }
}

TYPED_TEST_P(StageSharedMemory, TheEndWaitsForRunningBodiesAndCancelsTheOthers) {
  std::latch started{2};
  std::latch go{1};
  std::atomic<int> completed{0};
  std::optional stage{TypeParam::make({.concurrency = 2, .name = "short-lived"}, [&](int x) {
    started.count_down();
    go.wait();
    ++completed;
    return x;
  })};
  std::vector<future<int>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(stage->scatter(i));
  started.wait();
  std::thread destroyer{[&] {
    stage.reset();
    EXPECT_EQ(completed, 2) << "the destructor returned while a body was running";
  }};
  // The eight others end as cancelled although both bodies are still inside.
  for (std::size_t i = 2; i < 10; ++i) {
    auto const outcome = std::move(futures[i]).outcome();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().kind(), error_kind::cancelled);
    EXPECT_EQ(outcome.error().stage(), "short-lived");
    EXPECT_THROW((void)outcome.value(), stage_error);
  }
  go.count_down();
  destroyer.join();
  EXPECT_EQ(futures[0].get(), 0);
  EXPECT_EQ(futures[1].get(), 1);
}

REGISTER_TYPED_TEST_SUITE_P(StageSharedMemory, ManyBlockedBodiesRunAtOnce, TheLimitIsNeverExceeded,
                            CountsTellWhatRunsAndWhatWaits, EachItemIsRunOnceAndEachAttemptOnce,
                            AttemptsHaveArgumentsByReferenceAnew, TheLastOwnerGetsTheResultByMove,
                            ASharedResultIsCopiedOrReferred, ValuesDieWithTheirLastConsumer, DiscardedResultsDieAtOnce,
                            CancelDoesNotWaitForRunningBodiesAndLetsThemFinish, CancelAndTheEndAskRunningBodiesToStop,
                            TheEndWaitsForRunningBodiesAndCancelsTheOthers);

}  // namespace penstock::test
