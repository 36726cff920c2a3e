// SPDX-License-Identifier: Apache-2.0
// What a stage promises when it is used for long, or when something comes at a bad moment.
#include "tests/support/failing_allocations.hpp"

#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::thread_stage;
using penstock::test::allocations_to_fail;
using testing::ElementsAre;

struct fails_to_copy {
  fails_to_copy() = default;
  fails_to_copy(fails_to_copy const&) { throw std::runtime_error{"copy refused"}; }
  fails_to_copy(fails_to_copy&&) = default;
};

TEST(Endurance, ARefusedItemLeavesNothingForLaterGathers) {
  fails_to_copy const refused;
  for (int items = 0; items < 200; ++items) {
    thread_stage stage{1, [](int x, fails_to_copy const&) { return x; }};
    for (int i = 0; i < items; ++i) stage.scatter(i, fails_to_copy{});
    EXPECT_THROW(stage.scatter(items, refused), std::runtime_error);
    EXPECT_EQ(stage.gather().size(), static_cast<std::size_t>(items));
    stage.scatter(7, fails_to_copy{});
    EXPECT_THAT(stage.gather(), ElementsAre(7));
  }
}

TEST(Endurance, AnItemMayWaitForAnyNumberOfGathers) {
  for (int const gathers : {20'000, 65'537}) {
    std::latch go{1};
    thread_stage gate{1, [&](int x) {
                        go.wait();
                        return x;
                      }};
    thread_stage stage{1, [](int x) { return x + 1; }};
    thread_stage last{1, [](int x) { return x + 1; }};
    for (int i = 0; i < 5; ++i) stage.scatter(i);
    auto waits = last.scatter(stage.scatter(gate.scatter(0)));
    for (int i = 0; i < gathers; ++i) {
      stage.scatter(i);
      ASSERT_EQ(stage.gather().size(), i == 0 ? 6U : 1U);
    }
    go.count_down();
    EXPECT_EQ(std::move(waits).get(), 2);
    EXPECT_EQ(last.gather().size(), 0U);
  }
}

TEST(Endurance, AScatterThatWasRefusedDuringACancelLeavesTheNextOneAlone) {
  struct cancels_when_copied {
    thread_stage<int(int, cancels_when_copied const&)>* stage = nullptr;
    cancels_when_copied() = default;
    explicit cancels_when_copied(thread_stage<int(int, cancels_when_copied const&)>& which) : stage{&which} {}
    cancels_when_copied(cancels_when_copied&&) = default;
    cancels_when_copied(cancels_when_copied const& other) {
      other.stage->cancel();
      throw std::runtime_error{"copy refused"};
    }
  };
  thread_stage stage{1, [](int x, cancels_when_copied const&) { return x; }};
  cancels_when_copied const refused{stage};
  EXPECT_THROW(stage.scatter(1, refused), std::runtime_error);
  EXPECT_TRUE(stage.gather().empty());
  stage.scatter(2, cancels_when_copied{});
  EXPECT_THAT(stage.gather(), ElementsAre(2));
}

TEST(Endurance, AGatherGetsAnItemWhoseScatterIsRefusedMeanwhile) {
  thread_stage number{1, [](int x) { return x; }};
  thread_stage use{1, [](std::vector<int> const& v, int) { return v.size(); }};
  thread_stage other{1, [](int x) { return x; }};
  auto const gathered = other.scatter(0);
  (void)other.gather();
  auto const taken = other.scatter(0);
  use.scatter(std::vector<penstock::future<int>>(1, taken), 0);
  for (int round = 0; round < 400 && !HasFailure(); ++round) {
    auto const item = number.scatter(round);
    std::vector inputs(5'000, taken);  // to go through them takes a while
    inputs.front() = item;
    std::latch start{2};
    std::thread refused{[&] {
      start.arrive_and_wait();
      for (int i = 0; i < 5; ++i) EXPECT_THROW(use.scatter(inputs, gathered), penstock::already_gathered);
    }};
    start.arrive_and_wait();
    if (round % 2 == 0) EXPECT_EQ(number.gather().size(), 1U);
    else EXPECT_EQ(number.gather_for(1h).value().size(), 1U);
    refused.join();
  }
}

TEST(Endurance, CountsAreRightWhileItemsArrive) {
  std::latch go{1};
  std::latch asked{1};
  thread_stage stage{{.concurrency = 1, .capacity = 1'000'000}, [&](int) { go.wait(); }};
  stage.scatter(0);
  std::jthread scatters{[&](std::stop_token const& stop) {
    asked.wait();
    for (int i = 0; i < 900'000 && !stop.stop_requested(); ++i) stage.scatter(i);
  }};
  asked.count_down();
  for (std::uint64_t queued = 0; queued < 899'000 && !HasFailure();) {
    auto const stats = stage.stats();
    EXPECT_EQ(stats.done, 0U);
    EXPECT_EQ(stats.failed, 0U);
    queued = stats.queued;
  }
  go.count_down();
}

// Its copies are made when the test lets them.
struct copied_slowly {
  std::latch* copying;
  std::latch* go;
  copied_slowly(std::latch& announce, std::latch& wait) : copying{&announce}, go{&wait} {}
  copied_slowly(copied_slowly&&) = default;
  copied_slowly(copied_slowly const& other) : copying{other.copying}, go{other.go} {
    copying->count_down();
    go->wait();
  }
};

TEST(Endurance, ABodyThatBeginsDuringACancelIsToldToStop) {
  for (bool const closed : {false, true}) {
    for (bool const gathered : {false, true}) {
      std::latch copying{1};
      std::latch go{1};
      thread_stage make{1, [&](int) { return copied_slowly{copying, go}; }};
      thread_stage stage{1, [](std::stop_token const& stop, copied_slowly) { return stop.stop_requested(); }};
      thread_stage next{1, [](bool x) { return x; }};
      auto const shared = make.scatter(0);
      auto const told = next.scatter(stage.scatter(shared));
      copying.wait();
      if (closed) stage.close();
      stage.cancel();
      if (gathered) (void)stage.gather();
      go.count_down();
      EXPECT_TRUE(told.get());
      if (closed) continue;
      (void)stage.gather();
      EXPECT_FALSE(stage.scatter(copied_slowly{copying, go}).get()) << "the cancel is over";
    }
  }
}

TEST(Endurance, AnInlineItemIsNotTriedAgainAfterACancel) {
  std::latch tried{1};
  std::atomic<int> calls{0};
  thread_stage stage{{.concurrency = 0, .attempts = 2, .backoff = 1h}, [&](int) -> int {
                       ++calls;
                       tried.count_down();
                       throw std::runtime_error{"first"};
                     }};
  std::jthread const scatters{[&] { stage.scatter(1); }};
  tried.wait();
  std::this_thread::sleep_for(5ms);  // so that it is likely to wait; the result does not depend on it
  stage.cancel();
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_STREQ(outcomes[0].error().what(), "first");
  EXPECT_EQ(calls, 1);
}

TEST(Endurance, OnlyAttemptsThatWereMadeAreCounted) {
  std::atomic<int> calls{0};
  thread_stage stage{{.concurrency = 1, .attempts = 2, .backoff = 1h}, [&](int) -> int {
                       ++calls;
                       throw std::runtime_error{"first"};
                     }};
  stage.scatter(1);
  while (calls == 0 || stage.stats().running != 0) std::this_thread::yield();
  stage.cancel();
  EXPECT_EQ(stage.outcomes().size(), 1U);
  EXPECT_EQ(stage.stats().retried, 0U);
}

TEST(Endurance, AttemptsEndWithoutMemoryToCountThem) {
  std::atomic<int> calls{0};
  thread_stage stage{{.concurrency = 1, .attempts = 3}, [&](int x) -> int {
                       if (++calls == 10) return x;
                       allocations_to_fail = 1;  // that of the error's text
                       throw 1;
                     }};
  EXPECT_THROW((void)stage.scatter(1).get(), std::bad_alloc);
  EXPECT_LE(calls, 3);
}

TEST(Endurance, AProgressReportIsAPartOfItsBody) {
  std::latch go{1};
  thread_stage lower{1, [&](int x) {
                       go.wait();
                       return x;
                     }};
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  auto const enter = [&] { most = std::max(most.load(), ++inside); };
  thread_stage upper{1, [&](int x) {
                       if (x == 0) {
                         for (int i = 0; i < 3; ++i) lower.scatter(i);
                         (void)lower.gather({.progress = [&](penstock::progress const&) {
                           enter();
                           --inside;
                         }});
                         return x;
                       }
                       enter();
                       go.count_down();
                       while (lower.stats().done < 3) std::this_thread::yield();
                       std::this_thread::sleep_for(5ms);  // the reports have time to come, though they must not
                       --inside;
                       return x;
                     }};
  upper.scatter(0);
  upper.scatter(1);
  EXPECT_EQ(upper.gather().size(), 2U);
  EXPECT_EQ(most, 1);
}

}  // namespace
