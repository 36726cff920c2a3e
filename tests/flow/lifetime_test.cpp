// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process_counts.hpp"

#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::thread_stage;

thread_stage<int(int)> static_stage{4, [](int x) { return x + 1; }};

TEST(Lifetime, ConstructingStagesStartsNoThread) {
  int const before = penstock::test::thread_count();
  std::vector<thread_stage<int(int)>> stages;
  for (int i = 0; i < 100; ++i) stages.emplace_back(400, [](int x) { return x; });
  EXPECT_EQ(penstock::test::thread_count(), before);
}

TEST(Lifetime, AStaticStageWorksAndEndsWithTheProgram) {
  for (int i = 0; i < 100; ++i) static_stage.scatter(i);
  EXPECT_EQ(static_stage.gather().size(), 100U);
  static_stage.scatter(1);  // left for the static destructor
}

TEST(Lifetime, TheDestructorWaitsForRunningBodiesAndCancelsTheOthers) {
  std::latch started{2};
  std::latch go{1};
  std::atomic<int> completed{0};
  std::vector<future<int>> futures;
  std::optional<thread_stage<int(int)>> stage;
  stage.emplace(penstock::stage_options{.concurrency = 2, .name = "short-lived"}, [&](int x) {
    started.count_down();
    go.wait();
    ++completed;
    return x;
  });
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
    EXPECT_THROW((void)outcome.value(), penstock::stage_error);
  }
  go.count_down();
  destroyer.join();
  EXPECT_EQ(futures[0].get(), 0);
  EXPECT_EQ(futures[1].get(), 1);
}

TEST(Lifetime, TheBodyIsDestroyedWithItsStage) {
  auto const resource = std::make_shared<int>(5);
  {
    thread_stage use{2, [resource](int x) { return x + *resource; }};
    use.scatter(1);
    EXPECT_EQ(resource.use_count(), 2);
  }
  EXPECT_EQ(resource.use_count(), 1);
}

TEST(Lifetime, EitherEndOfAChainMayGoFirst) {
  for (bool const upstream_first : {true, false}) {
    std::latch go{1};
    std::optional<thread_stage<int(int)>> upstream;
    std::optional<thread_stage<int(int)>> downstream;
    upstream.emplace(1, [&](int x) {
      go.wait();
      return x;
    });
    downstream.emplace(1, [](int x) { return x; });
    std::vector<future<int>> ends;
    for (int i = 0; i < 5; ++i) ends.push_back(downstream->scatter(upstream->scatter(i)));
    if (upstream_first) {
      std::thread releaser{[&] { go.count_down(); }};
      upstream.reset();
      releaser.join();
    } else {
      downstream.reset();  // its calls still wait for inputs
      go.count_down();
    }
    int cancelled = 0;
    for (auto& each : ends) {
      auto const outcome = std::move(each).outcome();
      if (!outcome && outcome.error().kind() == error_kind::cancelled) ++cancelled;
    }
    EXPECT_GE(cancelled, upstream_first ? 0 : 5);
  }
}

TEST(Lifetime, ACoreIsUsedAgainOnlyWhenItsLastCallHasEnded) {
  std::latch go{1};
  thread_stage gate{1, [&](int x) {
                      go.wait();
                      return x;
                    }};
  std::vector<future<int>> orphans;
  for (int i = 0; i < 50; ++i) {
    thread_stage brief{1, [i](int x) { return x + i; }};
    orphans.push_back(brief.scatter(gate.scatter(i)));
    EXPECT_EQ(brief.scatter(1).get(), 1 + i);
  }
  go.count_down();
  for (auto& each : orphans) EXPECT_EQ(std::move(each).outcome().error().kind(), error_kind::cancelled);
  for (int i = 0; i < 100; ++i) {
    thread_stage next{2, [](int x) { return -x; }};
    for (int k = 0; k < 20; ++k) next.scatter(k);
    auto const results = next.gather();
    for (int k = 0; k < 20; ++k) EXPECT_EQ(results[static_cast<std::size_t>(k)], -k);
  }
}

TEST(Lifetime, UngatheredResultsDieWithTheStage) {
  auto const probe = std::make_shared<int>(0);
  {
    thread_stage hand_out{2, [probe](int) { return probe; }};
    for (int i = 0; i < 100; ++i) hand_out.scatter(i).wait();
    EXPECT_GE(probe.use_count(), 101);
  }
  EXPECT_EQ(probe.use_count(), 1);
}

TEST(Lifetime, AHundredStagesWork) {
  std::vector<thread_stage<int(int)>> stages;
  for (int i = 0; i < 100; ++i) stages.emplace_back(3, [](int x) { return x + 1; });
  for (int item = 0; item < 50; ++item) {
    auto value = stages.front().scatter(item);
    for (std::size_t i = 1; i < stages.size(); ++i) value = stages[i].scatter(std::move(value));
  }
  auto const results = stages.back().gather();
  ASSERT_EQ(results.size(), 50U);
  for (int item = 0; item < 50; ++item) EXPECT_EQ(results[static_cast<std::size_t>(item)], item + 100);
}

TEST(Lifetime, IdleEngineThreadsEnd) {
  int const before = penstock::test::thread_count();
  std::latch all_in{40};
  {
    thread_stage meet{40, [&](int) { all_in.arrive_and_wait(); }};
    for (int i = 0; i < 40; ++i) meet.scatter(i);
    meet.gather();
  }
  // TBB keeps its workers; the engine keeps one thread, the watch. The rest end by themselves.
  int const arena_slots = 4 * static_cast<int>(std::thread::hardware_concurrency());
  while (penstock::test::thread_count() > before + 1 + arena_slots) std::this_thread::yield();
}

}  // namespace
