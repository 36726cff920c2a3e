// SPDX-License-Identifier: Apache-2.0
// When a batch runs that is not full: before its time, if somebody waits for it and no other item could join.
#include "tests/support/batches.hpp"
#include "tests/support/detached.hpp"

#include <penstock/batch.hpp>
#include <penstock/pipeline.hpp>
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <deque>
#include <future>
#include <iterator>
#include <latch>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using penstock::batch;
using penstock::error_kind;
using penstock::future;
using penstock::stage_options;
using penstock::thread_stage;
using penstock::test::call_log;
using penstock::test::doubling;
using penstock::test::for_ever;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

TEST(BatchStart, GatherDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) stage.scatter(i);
    EXPECT_THAT(stage.gather(), ElementsAre(0, 2, 4, 6, 8));
  }
  stage.scatter_many(std::views::iota(0, 5));
  EXPECT_THAT(stage.outcomes(), SizeIs(5));
  stage.scatter_many(std::views::iota(0, 5));
  EXPECT_TRUE(stage.gather_for(for_ever));
  stage.scatter_many(std::views::iota(0, 5));
  int reports = 0;
  EXPECT_THAT(stage.gather({.progress = [&](auto const&) { ++reports; }}), SizeIs(5));
  EXPECT_GT(reports, 0);
  EXPECT_THAT(calls.sizes(), ElementsAre(5, 5, 5, 5, 5, 5));
}

TEST(BatchStart, CloseDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  std::vector<future<int>> all;
  for (int i = 0; i < 5; ++i) all.push_back(stage.scatter(i));
  stage.close();
  for (auto const& each : all) each.wait();
  EXPECT_THAT(calls.sizes(), ElementsAre(5));
}

TEST(BatchStart, ItemsThatComeFromAnotherStageAreWaitedFor) {
  call_log calls;
  std::latch gathering{1};
  std::barrier all_in{6};
  thread_stage first{{.concurrency = 5}, [&](int x) {
                       all_in.arrive_and_wait();
                       gathering.wait();
                       return x;
                     }};
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  for (int i = 0; i < 5; ++i) stage.scatter(first.scatter(i));
  stage.scatter(5);
  all_in.arrive_and_wait();
  auto gathered = std::async(std::launch::async, [&] { return stage.gather(); });
  EXPECT_EQ(gathered.wait_for(20ms), std::future_status::timeout) << "it waits for five that may come";
  gathering.count_down();
  EXPECT_THAT(gathered.get(), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(calls.sizes(), ElementsAre(6));
}

TEST(BatchStart, AFailedInputIsNotWaitedFor) {
  call_log calls;
  std::latch go{1};
  thread_stage first{{.concurrency = 2}, [&](int x) {
                       go.wait();
                       if (x > 2) throw std::runtime_error{"no"};
                       return x;
                     }};
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  for (int i = 1; i < 4; ++i) stage.scatter(first.scatter(i));
  stage.scatter(0);
  auto gathered = std::async(std::launch::async, [&] { return stage.outcomes(); });
  go.count_down();
  auto const outcomes = gathered.get();
  ASSERT_THAT(outcomes, SizeIs(4));
  EXPECT_EQ(outcomes[2].error().kind(), error_kind::upstream);
  EXPECT_EQ(*outcomes[0] + *outcomes[1] + *outcomes[3], 6);
  EXPECT_THAT(calls.sizes(), ElementsAre(3));
}

TEST(BatchStart, AFailedInputDoesNotFillIt) {
  call_log calls;
  thread_stage fail{1, [](int x) -> int { throw std::runtime_error{std::to_string(x)}; }};
  thread_stage stage{{.batch = 3, .batch_wait = for_ever}, doubling(calls)};
  stage.scatter(1);
  auto failed = stage.scatter(fail.scatter(0));
  failed.wait();
  stage.scatter(2);
  EXPECT_EQ(stage.stats().queued, 2U);
  auto last = stage.scatter(3);
  EXPECT_EQ(last.get(), 6);
  EXPECT_THAT(calls.sizes(), ElementsAre(3));
  EXPECT_THROW(failed.get(), std::runtime_error);
}

TEST(BatchStart, AGatherDownTheChainDoesNotWaitForTime) {
  call_log calls;
  call_log more_calls;
  thread_stage first{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  thread_stage second{2, [](int x) { return x + 1; }};
  thread_stage third{{.batch = 7, .batch_wait = for_ever}, doubling(more_calls)};
  for (int i = 0; i < 5; ++i) third.scatter(second.scatter(first.scatter(i)));
  EXPECT_THAT(third.gather(), ElementsAre(2, 6, 10, 14, 18));
  EXPECT_THAT(calls.sizes(), ElementsAre(5));
  EXPECT_THAT(more_calls.sizes(), ElementsAre(5));
}

TEST(BatchStart, AnItemThatDependsOnOneOfTheSameStageIsNotWaitedForInVain) {
  call_log calls;
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  thread_stage next{1, [](int x) { return x + 1; }};
  auto third = stage.scatter(next.scatter(stage.scatter(next.scatter(stage.scatter(1)))));
  EXPECT_THAT(stage.gather(), ElementsAre(14));
  EXPECT_THAT(calls.sizes(), ElementsAre(1, 1, 1));
}

TEST(BatchStart, AStreamDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{stage_options{.capacity = 8, .batch = 3, .batch_wait = for_ever}, doubling(calls)};
  int expected = 0;
  for (auto const& each : stage.stream(std::views::iota(0, 100))) EXPECT_EQ(*each, 2 * expected++);
  EXPECT_EQ(expected, 100);
  expected = 0;
  for (auto const& each : stage.as_completed(std::views::iota(0, 100))) expected += *each;
  EXPECT_EQ(expected, 9900);
  EXPECT_LE(std::ranges::max(calls.sizes()), 3U);
}

TEST(BatchStart, AScatterThatWaitsForRoomDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{stage_options{.capacity = 100, .capacity_bytes = 2500, .batch = 50, .batch_wait = for_ever},
                     [&](batch<std::string const> all) { calls.add(all.size()); }};
  for (int i = 0; i < 20; ++i) stage.scatter(std::string(1000, 'x'));  // two fill .capacity_bytes
  stage.gather();
  EXPECT_LE(std::ranges::max(calls.sizes()), 2U);
}

TEST(BatchStart, RunsWhenItsTimeHasComeAndNobodyWaits) {
  call_log calls;
  thread_stage stage{{.batch = 32, .batch_wait = 20ms}, doubling(calls)};
  std::vector<future<int>> all;
  for (int i = 0; i < 5; ++i) all.push_back(stage.scatter(i));
  while (!all.back().ready()) std::this_thread::yield();  // as wait() does not wait for it
  EXPECT_EQ(all.back().get(), 8);
  thread_stage at_once{{.batch = 32, .batch_wait = 0ms}, doubling(calls)};
  auto const one = at_once.scatter(3);
  while (!one.ready()) std::this_thread::yield();
}

TEST(BatchStart, WhatComesWhileAllSlotsAreInUseJoins) {
  call_log calls;
  std::latch entered{1};
  std::latch go{1};
  thread_stage stage{{.concurrency = 1, .batch = 8, .batch_wait = 0ms}, [&](batch<int const> all) {
                       calls.add(all.size());
                       if (all[0] == 0) {
                         entered.count_down();
                         go.wait();
                       }
                     }};
  stage.scatter(0);
  entered.wait();
  for (int i = 1; i < 12; ++i) stage.scatter(i);
  EXPECT_EQ(stage.stats().running, 1U);
  EXPECT_EQ(stage.stats().queued, 11U);
  go.count_down();
  stage.gather();
  EXPECT_THAT(calls.sizes(), ElementsAre(1, 8, 3));
}

// ---- streams

TEST(BatchStart, AStreamOfWhatOthersScatterDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{{.concurrency = 1, .batch = 32, .batch_wait = for_ever}, doubling(calls)};
  std::latch read_all{5};
  std::thread scattering{[&] {
    for (int i = 0; i < 5; ++i) stage.scatter(i);
    read_all.wait();
    stage.scatter(5);
    stage.close();
  }};
  int expected = 0;
  for (auto const& each : stage.stream()) {
    EXPECT_EQ(*each, 2 * expected);
    if (++expected <= 5) read_all.count_down();
  }
  EXPECT_EQ(expected, 6);
  scattering.join();
}

TEST(BatchStart, AStreamOfWhatFinishesFirstDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{{.batch = 32, .batch_wait = for_ever}, doubling(calls)};
  auto finished = stage.as_completed();
  for (int i = 0; i < 3; ++i) stage.scatter(i);
  int sum = 0;
  auto each = finished.begin();
  for (int i = 0; i < 3; ++i) {
    sum += **each;
    if (i < 2) ++each;
  }
  EXPECT_EQ(sum, 6);
}

TEST(BatchStart, AStreamFillsItsBatchesFromItsSource) {
  call_log calls;
  thread_stage stage{stage_options{.concurrency = 1, .capacity = 8, .batch = 4, .batch_wait = for_ever},
                     doubling(calls)};
  int expected = 0;
  for (auto const& each : stage.stream(std::views::iota(0, 40))) EXPECT_EQ(*each, 2 * expected++);
  EXPECT_EQ(expected, 40);
  EXPECT_THAT(calls.sizes(), Each(4));
}

TEST(BatchStart, AStreamThatHasReadItsSourceDoesNotWaitForOtherBatches) {
  std::barrier together{2};
  thread_stage stage{{.concurrency = 2, .batch = 4, .batch_wait = for_ever}, [&](batch<int const> all) {
                       together.arrive_and_wait();
                       return std::vector<int>(all.begin(), all.end());
                     }};
  int expected = 0;
  for (auto const& each : stage.stream(std::views::iota(0, 6))) EXPECT_EQ(*each, expected++);
  for (auto const& each : stage.as_completed(std::views::iota(0, 6))) expected += *each;
  EXPECT_EQ(expected, 6 + 15);
}

TEST(BatchStart, AStreamOfFuturesDoesNotWaitForTimeUpTheChain) {
  call_log calls;
  thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
  thread_stage plain{2, [](int x) { return x + 1; }};
  auto const scattered = [&](int count) {
    return std::views::iota(0, count) | std::views::transform([&](int i) { return first.scatter(i); });
  };
  int expected = 0;
  for (auto const& each : plain.stream(scattered(11))) EXPECT_EQ(*each, 2 * expected++ + 1);
  for (auto const& each : plain.as_completed(scattered(11))) expected += *each > 0 ? 1 : 0;
  EXPECT_EQ(expected, 22);
  EXPECT_THAT(calls.sorted(), ElementsAre(3, 3, 8, 8));

  auto read = plain.stream();
  for (int i = 0; i < 3; ++i) plain.scatter(first.scatter(i));
  auto each = read.begin();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(**each, 2 * i + 1);
    if (i < 2) ++each;
  }
}

// ---- chains

// What may wait for the last of a chain.
enum class way { gather, outcomes, gather_for, with_progress, close, stream };
constexpr std::array ways{way::gather, way::outcomes, way::gather_for, way::with_progress, way::close, way::stream};

// Waits for the items of a stage that `results` are the futures of.
void wait_for_all(auto& last, way how, std::vector<future<int>> const& results) {
  auto const count = results.size();
  switch (how) {
    case way::gather: EXPECT_THAT(last.gather(), SizeIs(count)); break;
    case way::outcomes: EXPECT_THAT(last.outcomes(), SizeIs(count)); break;
    case way::gather_for: EXPECT_TRUE(last.gather_for(for_ever)); break;
    case way::with_progress: EXPECT_THAT(last.gather({.progress = [](auto const&) {}}), SizeIs(count)); break;
    case way::close:
      last.close();
      // Not by wait(), which would do.
      while (!std::ranges::all_of(results, [](auto const& each) { return each.ready(); })) std::this_thread::yield();
      break;
    case way::stream: last.close(); EXPECT_EQ(std::ranges::distance(last.stream()), static_cast<std::ptrdiff_t>(count));
  }
}

TEST(BatchStart, APlainStageDoesNotWaitForTheTimeOfItsInputs) {
  for (way const how : ways) {
    SCOPED_TRACE(static_cast<int>(how));
    call_log calls;
    thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
    thread_stage plain{2, [](int x) { return x + 1; }};
    std::vector<future<int>> results;
    for (int i = 0; i < 3; ++i) results.push_back(plain.scatter(first.scatter(i)));
    wait_for_all(plain, how, results);
    EXPECT_THAT(calls.sizes(), ElementsAre(3));
  }
}

TEST(BatchStart, BatchesOfDifferentSizesFollowEachOther) {
  for (way const how : ways) {
    SCOPED_TRACE(static_cast<int>(how));
    call_log calls;
    call_log more;
    thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
    thread_stage second{{.batch = 4, .batch_wait = for_ever}, doubling(more)};
    thread_stage third{{.batch = 5, .batch_wait = for_ever}, doubling(more)};
    std::vector<future<int>> results;
    for (int i = 0; i < 3; ++i) results.push_back(third.scatter(second.scatter(first.scatter(i))));
    wait_for_all(third, how, results);
    EXPECT_THAT(calls.sizes(), ElementsAre(3));
  }
}

TEST(BatchStart, TwoInputsOfOneItemDoNotWaitForTheirTime) {
  for (way const how : ways) {
    SCOPED_TRACE(static_cast<int>(how));
    call_log calls;
    thread_stage left{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
    thread_stage right{{.batch = 2, .batch_wait = for_ever}, doubling(calls)};
    thread_stage sum{2, [](int a, int b) { return a + b; }};
    std::vector<future<int>> results;
    for (int i = 0; i < 3; ++i) results.push_back(sum.scatter(left.scatter(i), right.scatter(i)));
    wait_for_all(sum, how, results);
    EXPECT_THAT(calls.sorted(), ElementsAre(1, 2, 3));
  }
}

TEST(BatchStart, APipelineDoesNotWaitForTheTimeOfItsInputs) {
  for (way const how : ways) {
    SCOPED_TRACE(static_cast<int>(how));
    call_log calls;
    thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
    thread_stage up{2, [](int x) { return x + 1; }};
    thread_stage down{2, [](int x) { return x - 1; }};
    auto both = up | down;
    std::vector<future<int>> results;
    for (int i = 0; i < 3; ++i) results.push_back(both.scatter(first.scatter(i)));
    wait_for_all(both, how, results);
    EXPECT_THAT(calls.sizes(), ElementsAre(3));
  }
  call_log calls;
  thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
  thread_stage up{{.concurrency = 2, .capacity = 2}, [](int x) { return x + 1; }};
  thread_stage down{2, [](int x) { return x - 1; }};
  auto both = up | down;
  for (int i = 0; i < 5; ++i) both.scatter(first.scatter(i));  // there is room for two
  EXPECT_THAT(both.gather(), ElementsAre(0, 2, 4, 6, 8));
}

TEST(BatchStart, ACycleOfStagesDoesNotWaitForTime) {
  call_log calls;
  thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
  thread_stage<int(int)>* again = nullptr;
  thread_stage second{4, [&](int doubled) {
                        int const next = doubled / 2 - 1;
                        if (next >= 0) again->scatter(first.scatter(next));
                        return doubled / 2;
                      }};
  again = &second;
  second.scatter(first.scatter(5));
  std::vector<int> seen;
  while (seen.size() < 6) std::ranges::copy(second.gather(), std::back_inserter(seen));
  EXPECT_THAT(seen, ElementsAre(5, 4, 3, 2, 1, 0));
  EXPECT_THAT(calls.sizes(), Each(1));
}

// ---- a wait for one item

TEST(BatchStart, AWaitForOneItemDoesNotWaitForTime) {
  call_log calls;
  thread_stage stage{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
  auto const three = [&] {
    std::vector<future<int>> all;
    for (int i = 0; i < 3; ++i) all.push_back(stage.scatter(i));
    return all;
  };
  EXPECT_EQ(three()[1].get(), 2);
  three()[2].wait();
  EXPECT_TRUE(three()[0].wait_for(for_ever));
  EXPECT_EQ(*std::move(three()[2]).outcome(), 4);
  EXPECT_THAT(calls.sizes(), ElementsAre(3, 3, 3, 3));
}

TEST(BatchStart, AWaitForOneItemStartsTheBatchesThatItComesFrom) {
  call_log calls;
  thread_stage first{{.batch = 8, .batch_wait = for_ever}, doubling(calls)};
  thread_stage plain{2, [](int x) { return x; }};
  thread_stage last{{.batch = 4, .batch_wait = for_ever}, doubling(calls)};
  EXPECT_EQ(plain.scatter(first.scatter(1)).get(), 2);
  EXPECT_EQ(last.scatter(plain.scatter(first.scatter(1))).get(), 4);
  thread_stage inline_stage{0, [](int x) { return x; }};
  EXPECT_EQ(inline_stage.scatter(first.scatter(3)).get(), 6);
}

TEST(BatchStart, AWaitForAnItemThatRunsStartsNoOtherBatch) {
  call_log calls;
  thread_stage stage{{.concurrency = 1, .batch = 4, .batch_wait = for_ever}, doubling(calls)};
  std::deque<future<int>> window;
  int expected = 0;
  for (int i = 0; i < 40; ++i) {
    window.push_back(stage.scatter(i));
    if (window.size() < 6) continue;
    EXPECT_EQ(window.front().get(), 2 * expected++);
    window.pop_front();
  }
  stage.gather();
  EXPECT_THAT(calls.sizes(), Each(4));
}

TEST(BatchStart, WhoWaitsForOneItemLetsOthersJoinWhileABatchRuns) {
  call_log calls;
  std::latch entered{1};
  std::latch go{1};
  thread_stage stage{{.concurrency = 2, .batch = 4, .batch_wait = for_ever}, [&](batch<int const> all) {
                       calls.add(all.size());
                       if (all[0] == 0) {
                         entered.count_down();
                         go.wait();
                       }
                       return std::vector<int>(all.begin(), all.end());
                     }};
  for (int i = 0; i < 4; ++i) stage.scatter(i);
  entered.wait();
  auto const fifth = stage.scatter(4);
  auto waiting = std::async(std::launch::async, [&] { return fifth.get(); });
  EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
  for (int i = 5; i < 8; ++i) stage.scatter(i);
  EXPECT_EQ(waiting.get(), 4);
  EXPECT_THAT(calls.sizes(), ElementsAre(4, 4));
  go.count_down();
  stage.gather();
}

TEST(BatchStart, ABodyMayWaitForAnItemOfItsOwnStage) {
  call_log calls;
  thread_stage<int(int)>* own = nullptr;
  thread_stage<int(int)> stage{{.concurrency = 1, .batch = 4, .batch_wait = for_ever}, [&](batch<int const> all) {
                                 calls.add(all.size());
                                 std::vector<int> sums;
                                 for (int const x : all) sums.push_back(x == 0 ? 0 : x + own->scatter(x - 1).get());
                                 return sums;
                               }};
  own = &stage;
  EXPECT_EQ(stage.scatter(4).get(), 10);
  EXPECT_THAT(calls.sizes(), ElementsAre(1, 1, 1, 1, 1));
  // The same with another stage in between, of which this one knows nothing.
  thread_stage between{1, [&](int x) { return stage.scatter(x).get(); }};
  EXPECT_EQ(between.scatter(3).get(), 6);
}

TEST(BatchStart, CoroutinesThatWaitJoin) {
  call_log calls;
  thread_stage stage{{.batch = 4, .batch_wait = for_ever}, doubling(calls)};
  std::atomic<int> sum{0};
  std::latch ended{4};
  auto const ask = [&](int x) -> penstock::test::detached {
    sum += co_await stage.scatter(x);
    ended.count_down();
  };
  for (int i = 0; i < 4; ++i) ask(i);
  ended.wait();
  EXPECT_EQ(sum, 12);
  EXPECT_THAT(calls.sizes(), ElementsAre(4));
}

// ---- items that are tried again

TEST(BatchStart, WhatIsTriedAgainIsInNoBatchWithOthers) {
  std::latch tried{1};
  std::atomic<int> with_others{0};
  std::atomic<int> alone{0};
  thread_stage stage{{.concurrency = 1, .attempts = 3, .backoff = 1ms, .batch = 2, .batch_wait = for_ever},
                     [&](batch<int const> all) {
                       if (std::ranges::find(all, 7) != all.end()) {
                         if (all.size() > 1) {
                           ++with_others;
                         } else if (++alone == 3) {
                           tried.count_down();
                         }
                         throw std::runtime_error{"no seven"};
                       }
                       return std::vector<int>(all.begin(), all.end());
                     }};
  auto seven = stage.scatter(7);
  stage.scatter(0);
  // One that waits for another all the time: it would take a seven that comes back.
  while (!seven.ready()) {
    auto const fresh = stage.scatter(1);
    std::this_thread::yield();
    stage.scatter(2);
    fresh.wait();
  }
  tried.wait();
  EXPECT_EQ(with_others, 1) << "the first time";
  EXPECT_EQ(std::move(seven).outcome().error().attempts(), 3);
  EXPECT_NO_THROW(stage.gather());
}

TEST(BatchStart, WhatIsTriedAgainLaterIsNotWaitedFor) {
  std::latch fresh_ran{2};
  thread_stage stage{{.concurrency = 2, .attempts = 2, .backoff = for_ever, .batch = 4, .batch_wait = for_ever},
                     [&](batch<int const> all) {
                       for (int const each : all) {
                         if (each == 0) throw std::runtime_error{"no"};
                         fresh_ran.count_down();
                       }
                     }};
  auto const first = stage.scatter(0);
  EXPECT_FALSE(first.wait_for(1ms));
  while (stage.stats().running > 0) std::this_thread::yield();
  stage.scatter(1);
  stage.scatter(2);
  auto gathered = std::async(std::launch::async, [&] { return stage.outcomes(); });
  fresh_ran.wait();
  stage.cancel();
  EXPECT_STREQ(gathered.get()[0].error().what(), "no");
}

// ---- stages that are full

TEST(BatchStart, AFullStageWaitsForNoMore) {
  std::latch ran{1};
  thread_stage stage{stage_options{.capacity_bytes = 3 * sizeof(int), .batch = 8, .batch_wait = for_ever},
                     [&](batch<int const> all) {
                       EXPECT_EQ(all.size(), 3U);
                       ran.count_down();
                     }};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stage.try_scatter(i));
  ran.wait();
}

TEST(BatchStart, AStageFullOfBytesWaitsForNoMore) {
  call_log calls;
  std::latch ran{2};
  thread_stage stage{stage_options{.capacity_bytes = 2000, .batch = 8, .batch_wait = for_ever},
                     [&](batch<std::string const> all) {
                       calls.add(all.size());
                       ran.count_down(static_cast<std::ptrdiff_t>(all.size()));
                     }};
  while (stage.try_scatter(std::string(700, 'x'))) continue;  // until one is turned away
  ran.wait();
  EXPECT_THAT(calls.sizes(), ElementsAre(2));
}

}  // namespace
