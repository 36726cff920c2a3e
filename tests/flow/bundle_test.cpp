// SPDX-License-Identifier: Apache-2.0
// Where bodies are short, scatter_many() puts many items into one cell: nobody may be able to tell.
#include <penstock/detail/bundle.hpp>

#include "tests/support/bundles.hpp"

#include <penstock/stream.hpp>
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::stage_error;
using penstock::thread_stage;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// A body that gives back what it is given, and before that, for one item, waits.
auto waits_at(int item, std::latch& for_it) {
  return [item, &for_it](int x) {
    if (x == item) for_it.wait();
    return x;
  };
}

// A value that is counted.
struct counted {
  static inline std::atomic<int> alive{0};
  static inline thread_local int copies_until_throw = -1;

  int value = 0;

  counted(int given) : value{given} { ++alive; }
  counted(counted const& other) : value{other.value} {
    if (copies_until_throw == 0) throw std::runtime_error{"cannot be copied"};
    if (copies_until_throw > 0) --copies_until_throw;
    ++alive;
  }
  counted(counted&& other) noexcept : value{other.value} { ++alive; }
  counted& operator=(counted const&) = default;
  counted& operator=(counted&&) = default;
  ~counted() { --alive; }
};

TEST(Bundle, ResultsComeInScatterOrder) {
  thread_stage stage{3, [](int x) { return 2 * x; }};
  warm_up(stage, 0);
  stage.scatter(-1);
  stage.scatter_many(numbers(1'000));
  stage.scatter(-2);
  stage.scatter_many(std::views::iota(1'000, 1'500));
  auto const results = stage.gather();
  ASSERT_THAT(results, SizeIs(1'502));
  EXPECT_EQ(results[0], -2);
  EXPECT_EQ(results[1'001], -4);
  for (std::size_t i = 0; i < 1'000; ++i) EXPECT_EQ(results[1 + i], 2 * static_cast<int>(i));
  for (std::size_t i = 0; i < 500; ++i) EXPECT_EQ(results[1'002 + i], 2'000 + 2 * static_cast<int>(i));
}

TEST(Bundle, ElementsAreUnpackedOrConverted) {
  thread_stage stage{2, [](std::int64_t a, double b) { return static_cast<double>(a) + b; }};
  warm_up(stage, 1, 2.0);
  std::vector<std::tuple<int, float>> const pairs(100, {3, 0.5F});
  stage.scatter_many(pairs);
  std::array<std::pair<short, double>, 20> others;
  others.fill({1, 2.5});
  stage.scatter_many(others);
  EXPECT_THAT(stage.gather(), AllOf(SizeIs(120), Each(3.5)));
}

TEST(Bundle, EveryFailureNamesItsItem) {
  thread_stage stage{{.concurrency = 2, .name = "picky"}, [](int x) {
                       if (x % 7 == 3) throw std::domain_error{"no " + std::to_string(x)};
                       return x;
                     }};
  warm_up(stage, 0);
  auto const failures_before = stage.stats().failed;
  stage.scatter_many(numbers(200));
  auto const outcomes = stage.outcomes();
  ASSERT_THAT(outcomes, SizeIs(200));
  for (std::size_t i = 0; i < 200; ++i) {
    ASSERT_EQ(outcomes[i].index(), i);
    ASSERT_EQ(outcomes[i].has_value(), i % 7 != 3);
    if (outcomes[i].has_value()) {
      EXPECT_EQ(*outcomes[i], static_cast<int>(i));
      continue;
    }
    auto const& error = outcomes[i].error();
    EXPECT_EQ(error.index(), i);
    EXPECT_EQ(error.stage(), "picky");
    EXPECT_EQ(error.what(), "no " + std::to_string(i));
    EXPECT_THROW((void)outcomes[i].value(), std::domain_error);
  }
  EXPECT_EQ(stage.stats().failed - failures_before, 29U);

  stage.scatter_many(numbers(100));
  try {
    (void)stage.gather();
    FAIL() << "nothing was thrown";
  } catch (stage_error const& thrown) {
    EXPECT_EQ(thrown.index(), 3U);
    EXPECT_THAT(thrown.what(), HasSubstr("13 more of 100 items failed"));
    EXPECT_THAT(thrown.failures(), SizeIs(14));
  }
  EXPECT_TRUE(stage.gather().empty());
}

TEST(Bundle, AnEmptyOptionalDropsItsItemOnly) {
  thread_stage stage{2, [](int x) { return x % 2 == 0 ? std::optional{x} : std::nullopt; }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(100));
  auto const results = stage.gather();
  ASSERT_THAT(results, SizeIs(50));
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(results[i], 2 * static_cast<int>(i));
  EXPECT_EQ(stage.stats().dropped, 50U);
}

TEST(Bundle, EveryItemHasItsAttempts) {
  std::array<std::atomic<int>, 100> calls{};
  thread_stage stage{{.concurrency = 2, .attempts = 3}, [&](int x) {
                       if (x < 0) return x;
                       int const call = ++calls[static_cast<std::size_t>(x)];
                       if (x % 4 == 1 && call < 3) throw std::runtime_error{"not yet"};
                       if (x % 4 == 2) throw std::runtime_error{"never"};
                       return x;
                     }};
  warm_up(stage, -1);
  auto const before = stage.stats();
  stage.scatter_many(numbers(100));
  auto const outcomes = stage.outcomes();
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(outcomes[i].has_value(), i % 4 != 2);
    EXPECT_EQ(calls[i], i % 4 == 1 || i % 4 == 2 ? 3 : 1);
    if (i % 4 == 2) {
      EXPECT_EQ(outcomes[i].error().attempts(), 3);
    }
  }
  EXPECT_EQ(stage.stats().retried - before.retried, 100U);
  EXPECT_EQ(stage.stats().failed - before.failed, 25U);
}

TEST(Bundle, RunnersShareIt) {
  std::barrier all_at_once{4};
  thread_stage stage{4, [&](int x) {
                       if (x >= 0) all_at_once.arrive_and_wait();
                       return x;
                     }};
  warm_up(stage, -1);
  stage.scatter_many(numbers(64));  // each is waited for by three others
  EXPECT_EQ(stage.gather(), numbers(64));
}

TEST(Bundle, CancelEndsWhatNobodyHasBegun) {
  std::latch begun{2};
  std::latch go{1};
  std::atomic<int> calls{0};
  thread_stage stage{2, [&](int x) {
                       if (x < 0) return x;
                       ++calls;
                       begun.count_down();
                       go.wait();
                       return x;
                     }};
  warm_up(stage, -1);
  stage.scatter_many(numbers(500));
  begun.wait();
  stage.cancel();
  go.count_down();
  auto const outcomes = stage.outcomes();
  ASSERT_THAT(outcomes, SizeIs(500));
  EXPECT_EQ(calls, 2);
  int good = 0;
  for (std::size_t i = 0; i < 500; ++i) {
    ASSERT_EQ(outcomes[i].index(), i);
    if (outcomes[i].has_value()) ++good;
    else EXPECT_EQ(outcomes[i].error().kind(), error_kind::cancelled);
  }
  EXPECT_EQ(good, 2);
  EXPECT_TRUE(outcomes[0].has_value());
  stage.scatter_many(numbers(2));  // gather has reopened it
  EXPECT_EQ(stage.gather(), numbers(2));
}

TEST(Bundle, MaxErrorsStopsTheStage) {
  std::atomic<int> bad{0};
  thread_stage stage{{.concurrency = 1, .max_errors = 3}, [&](int x) {
                       if (x < 0) return x;
                       ++bad;
                       throw std::runtime_error{"bad"};
                     }};
  warm_up(stage, -1);
  try {
    stage.scatter_many(numbers(300));
  } catch (stage_error const&) {  // it had stopped before all were scattered
  }
  EXPECT_THROW((void)stage.gather(), stage_error);
  EXPECT_EQ(bad, 3);
  stage.scatter_many(std::vector<int>(100, -1));
  EXPECT_THAT(stage.gather(), SizeIs(100));
}

TEST(Bundle, DiscardedResultsLeaveFailuresOnly) {
  int const before = counted::alive;
  {
    thread_stage stage{{.concurrency = 2, .discard_results = true}, [](int x) {
                         if (x == 77) throw std::runtime_error{"bad"};
                         return counted{x};
                       }};
    warm_up(stage, 0);
    stage.scatter_many(numbers(200));
    auto const outcomes = stage.outcomes();
    ASSERT_THAT(outcomes, SizeIs(1));
    EXPECT_EQ(outcomes[0].index(), 77U);
  }
  EXPECT_EQ(counted::alive, before);
}

TEST(Bundle, AStreamGivesItsItemsOneByOne) {
  thread_stage stage{2, [](int x) {
                       if (x == 50) throw std::runtime_error{"bad"};
                       return x;
                     }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(300));
  stage.close();
  std::size_t count = 0;
  for (auto const& each : stage.stream()) {
    EXPECT_EQ(each.index(), count);
    EXPECT_EQ(each.has_value(), count != 50);
    if (each.has_value()) {
      EXPECT_EQ(*each, static_cast<int>(count));
    }
    ++count;
  }
  EXPECT_EQ(count, 300U);
}

TEST(Bundle, AStreamThatIsLeftLeavesTheOtherItems) {
  int const before = counted::alive;
  {
    thread_stage stage{2, [](int x) { return counted{x}; }};
    warm_up(stage, 0);
    stage.scatter_many(numbers(200));
    int next = 0;
    for (auto const& each : stage.stream()) {
      EXPECT_EQ(each->value, next++);
      if (next == 75) break;
    }
    std::size_t total = 0;
    auto const rest = stage.gather({.progress = [&](penstock::progress const& now) { total = now.total; }});
    EXPECT_EQ(total, 125U);
    ASSERT_THAT(rest, SizeIs(125));
    for (auto const& each : rest) EXPECT_EQ(each.value, next++);
  }
  EXPECT_EQ(counted::alive, before);
}

TEST(Bundle, AFailureThatAStreamHasGivenIsNoneOfTheOthers) {
  thread_stage stage{2, [](int x) {
                       if (x == 10) throw std::runtime_error{"bad"};
                       return x;
                     }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(50));
  int left = 50;
  for (auto const& each : stage.stream()) {
    --left;
    if (each.index() == 10) break;
  }
  EXPECT_THAT(stage.gather(), SizeIs(left));
}

TEST(Bundle, AStreamOfADiscardingStageGivesFailuresOnly) {
  thread_stage stage{{.concurrency = 2, .discard_results = true}, [](int x) {
                       if (x == 10) throw std::runtime_error{"bad"};
                       return x;
                     }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(50));
  stage.close();
  int count = 0;
  for (auto const& each : stage.stream()) {
    EXPECT_FALSE(each.has_value());
    ++count;
  }
  EXPECT_EQ(count, 1);
}

TEST(Bundle, TheNextStreamNumbersWhatIsLeft) {
  thread_stage stage{2, [](int x) { return x; }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(100));
  stage.close();
  for (int first = 0; first < 100; first += 10) {
    int next = 0;
    for (auto const& each : stage.stream()) {
      EXPECT_EQ(each.index(), static_cast<std::size_t>(next));
      EXPECT_EQ(*each, first + next);
      if (++next == 10) break;
    }
    EXPECT_EQ(next, 10);
  }
  EXPECT_TRUE(stage.gather().empty());
}

TEST(Bundle, AStreamThatHasBegunIsFedAsItGoes) {
  thread_stage stage{2, [](int x) { return x; }};
  warm_up(stage, 0);
  auto results = stage.as_completed();
  stage.scatter_many(numbers(200));
  stage.close();
  int sum = 0;
  for (auto const& each : results) sum += *each;
  EXPECT_EQ(sum, 199 * 100);
}

TEST(Bundle, AnElementThatCannotBeCopiedLeavesThoseBeforeIt) {
  int const before = counted::alive;
  {
    std::vector<counted> many;
    many.reserve(200);
    for (int i = 0; i < 200; ++i) many.emplace_back(i);
    thread_stage stage{{.concurrency = 2, .capacity = 500}, [](counted const& x) { return x.value; }};
    warm_up(stage, counted{0});
    for (int good : {0, 1, 30, 63, 64, 100}) {
      counted::copies_until_throw = good;
      EXPECT_THROW(stage.scatter_many(many), std::runtime_error);
      counted::copies_until_throw = -1;
      EXPECT_EQ(stage.gather(), numbers(good));
    }
    stage.scatter_many(many);  // no place was lost
    stage.scatter_many(many);
    stage.scatter_many(many);
    EXPECT_THAT(stage.gather(), SizeIs(600));
  }
  EXPECT_EQ(counted::alive, before);
}

// ---- what single items do

TEST(Bundle, AResultNeedNotBeAssignable) {
  struct point {
    int const x;
  };
  thread_stage stage{2, [](int x) { return point{x}; }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(100));
  auto const results = stage.gather();
  ASSERT_THAT(results, SizeIs(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].x, i);
}

TEST(Bundle, ElementsOfOtherFormsGoOneByOne) {
  thread_stage pairs{2, [](int x) { return std::tuple{x, x + 1}; }};
  thread_stage nothing{2, [](int) {}};
  thread_stage sum{2, [](int a, int b) { return a + b; }};
  thread_stage one{2, [] { return 1; }};
  warm_up(sum, 0, 0);
  warm_up(one);
  std::vector<std::tuple<penstock::future<std::tuple<int, int>>>> futures;
  futures.emplace_back(pairs.scatter(1));
  sum.scatter_many(futures);
  std::vector<std::tuple<penstock::future<void>, int, int>> after;
  after.emplace_back(nothing.scatter(1), 4, 5);
  sum.scatter_many(after);
  std::vector<std::tuple<int, int, penstock::future<void>>> also_after;
  also_after.emplace_back(6, 7, nothing.scatter(1));
  sum.scatter_many(also_after);
  EXPECT_THAT(sum.gather(), ElementsAre(3, 9, 13));
  std::vector<std::tuple<penstock::future<void>>> only_after;
  only_after.emplace_back(nothing.scatter(1));
  one.scatter_many(only_after);
  EXPECT_THAT(one.gather(), ElementsAre(1));
}

TEST(Bundle, ARangeMayKnowItsSizeWithoutItsEnd) {
  struct end_at {
    int const* end = nullptr;
    bool operator==(int const* at) const noexcept { return at == end; }
  };
  std::vector<int> const all = numbers(100);
  std::ranges::subrange<int const*, end_at, std::ranges::subrange_kind::sized> const range{
      all.data(), end_at{all.data() + 100}, 100};
  thread_stage stage{2, [](int x) { return x; }};
  warm_up(stage, 0);
  stage.scatter_many(range);
  EXPECT_EQ(stage.gather(), all);
}

TEST(Bundle, AStreamTakesWhatHasEndedBesideABodyThatHangs) {
  for (bool const in_order : {false, true}) {
    std::latch read{1};
    thread_stage stage{1, waits_at(5, read)};
    warm_up(stage, 0);
    stage.scatter_many(numbers(32));
    stage.close();
    std::vector<int> taken;
    auto const take = [&](auto stream) {
      for (auto const& each : stream) {
        taken.push_back(*each);
        if (taken.size() == 5) read.count_down();
      }
    };
    if (in_order) take(stage.stream());
    else take(stage.as_completed());
    if (!in_order) std::ranges::sort(taken);
    EXPECT_EQ(taken, numbers(32));
  }
}

TEST(Bundle, AStreamMayBeLeftWhileItsBundleRuns) {
  std::latch read{1};
  thread_stage stage{1, waits_at(5, read)};
  warm_up(stage, 0);
  stage.scatter_many(numbers(32));
  int count = 0;
  for (auto const& each : stage.as_completed()) {
    EXPECT_EQ(*each, count);
    if (++count == 3) break;
  }
  read.count_down();
  auto const rest = stage.gather();
  ASSERT_THAT(rest, SizeIs(29));
  for (std::size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i], static_cast<int>(i) + 3);
}

TEST(Bundle, ProgressIsToldWhileABodyHangs) {
  std::latch told{1};
  thread_stage stage{1, waits_at(30, told)};
  warm_up(stage, 0);
  stage.scatter_many(numbers(64));
  bool first = true;
  (void)stage.gather({.progress = [&](penstock::progress const& now) {
    if (now.done >= 30 && std::exchange(first, false)) told.count_down();
  }});
  EXPECT_FALSE(first);
}

TEST(Bundle, WhatAStreamHasGivenOutMakesRoom) {
  std::latch has_reader{1};
  thread_stage stage{{.concurrency = 1, .capacity = 64}, waits_at(0, has_reader)};
  warm_up(stage, 1);
  stage.scatter_many(numbers(64));
  auto results = stage.stream();
  has_reader.count_down();  // so all of them end unread
  int count = 0;
  for (auto const& each : results) {
    EXPECT_EQ(*each, count);
    if (count++ < 100) stage.scatter(64 + count - 1);
    else if (count == 164) break;
  }
  EXPECT_EQ(count, 164);
}

TEST(Bundle, DiscardedResultsDieAsTheyAreMade) {
  int const before = counted::alive;
  std::latch go{1};
  thread_stage stage{{.concurrency = 1, .discard_results = true}, [&](int x) {
                       if (x == 40) go.wait();
                       if (x == 20) throw std::runtime_error{"bad"};
                       return counted{x};
                     }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(64));
  while (stage.stats().running == 0 || stage.stats().queued != 23) std::this_thread::yield();
  EXPECT_EQ(counted::alive, before);
  go.count_down();
  while (stage.stats().queued + stage.stats().running != 0) std::this_thread::yield();
  std::size_t total = 0;
  EXPECT_THROW((void)stage.gather({.progress = [&](penstock::progress const& now) { total = now.total; }}),
               stage_error);
  EXPECT_EQ(total, 1U);
}

TEST(Bundle, EveryItemIsTimed) {
  thread_stage stage{{.concurrency = 2, .capacity = 64}, [](int x) { return x; }};
  warm_up(stage, 0);
  std::uint64_t const before = stage.stats().busy.count;
  constexpr std::uint64_t items = 64'000;
  for (std::uint64_t i = 0; i < items / 64; ++i) stage.scatter_many(numbers(64));
  EXPECT_THAT(stage.gather(), SizeIs(items));
  // One in 64 stands for 64; what more than a tick fell into stands for itself.
  EXPECT_NEAR(static_cast<double>(stage.stats().busy.count - before), static_cast<double>(items), 1'000.0);
}

TEST(Bundle, ATinyStageTakesThemAsItHasRoom) {
  thread_stage stage{{.concurrency = 1, .capacity = 40}, [](int x) { return x; }};
  warm_up(stage, 0);
  stage.scatter_many(numbers(1'000));
  EXPECT_EQ(stage.gather(), numbers(1'000));
}

TEST(Bundle, ItsStageMayEndAtAnyMoment) {
  int const before = counted::alive;
  for (int round = 0; round < 500; ++round) {
    thread_stage stage{2, [](int x) { return counted{x + 1}; }};
    warm_up(stage, 0);
    stage.scatter_many(numbers(round % 130));
    if (round % 3 == 0) stage.close();
  }
  EXPECT_EQ(counted::alive, before);
}

TEST(Bundle, ACancelMayComeAtAnyMoment) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> calls{0};
    thread_stage stage{2, [&](int x) {
                         ++calls;
                         return x;
                       }};
    warm_up(stage, -1);
    calls = 0;
    std::jthread const canceller{[&] { stage.cancel(); }};
    std::size_t scattered = 0;
    try {
      for (; scattered < 300; scattered += 100) stage.scatter_many(numbers(100));
    } catch (stage_error const&) {
    }
    auto const outcomes = stage.outcomes();
    EXPECT_GE(outcomes.size(), scattered);
    int good = 0;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      EXPECT_EQ(outcomes[i].index(), i);
      if (outcomes[i].has_value()) ++good;
    }
    EXPECT_EQ(good, calls);
  }
}

TEST(Bundle, ProgressAndStatsCountItems) {
  thread_stage stage{2, [](int x) {
                       if (x == 5) throw std::runtime_error{"bad"};
                       return x;
                     }};
  warm_up(stage, 0);
  auto const before = stage.stats();
  stage.scatter_many(numbers(150));
  penstock::progress last{};
  EXPECT_THROW((void)stage.gather({.progress = [&](penstock::progress const& now) { last = now; }}), stage_error);
  EXPECT_EQ(last.total, 150U);
  EXPECT_EQ(last.done, 149U);
  EXPECT_EQ(last.failed, 1U);
  auto const after = stage.stats();
  EXPECT_EQ(after.done - before.done, 149U);
  EXPECT_EQ(after.failed - before.failed, 1U);
  EXPECT_EQ(after.running, 0U);
  EXPECT_EQ(after.queued, 0U);
}

TEST(Bundle, ManyThreadsScatterThem) {
  thread_stage stage{2, [](int x) { return x; }};
  warm_up(stage, 0);
  {
    std::vector<std::jthread> threads;
    for (int k = 0; k < 4; ++k) {
      threads.emplace_back([&stage, k] {
        for (int i = 0; i < 20; ++i) stage.scatter_many(std::vector<int>(97, k));
      });
    }
  }
  std::array<int, 4> counts{};
  for (int const each : stage.gather()) ++counts[static_cast<std::size_t>(each)];
  EXPECT_THAT(counts, Each(20 * 97));
}

TEST(Bundle, StatsCountItemsThatHaveEnded) {
  std::latch seen{1};
  thread_stage stage{1, waits_at(40, seen)};
  warm_up(stage, 0);
  auto const before = stage.stats().done;
  stage.scatter_many(numbers(64));
  while (stage.stats().done - before != 40) std::this_thread::yield();
  EXPECT_EQ(stage.stats().running, 1U);
  EXPECT_EQ(stage.stats().queued, 23U);
  seen.count_down();
  EXPECT_EQ(stage.gather(), numbers(64));
}

TEST(Bundle, ItemsThatHaveEndedMakeRoom) {
  std::latch seen{1};
  thread_stage stage{{.concurrency = 1, .capacity = 64}, waits_at(5, seen)};
  warm_up(stage, 0);
  stage.scatter_many(numbers(64));
  for (int i = 0; i < 5; ++i) stage.scatter(100);  // each waits until one has ended
  EXPECT_FALSE(stage.try_scatter(200));
  seen.count_down();
  EXPECT_THAT(stage.gather(), SizeIs(69));
}

TEST(Bundle, TryScatterSeesTheRoomThatTheyMake) {
  std::latch seen{1};
  thread_stage stage{{.concurrency = 1, .capacity = 64}, waits_at(5, seen)};
  warm_up(stage, 0);
  stage.scatter_many(numbers(64));
  for (int scattered = 0; scattered < 5;) {
    if (stage.try_scatter(100)) ++scattered;
    else std::this_thread::yield();
  }
  seen.count_down();
  EXPECT_THAT(stage.gather(), SizeIs(69));
}

TEST(Bundle, ABodyMayScatterThemIntoItsOwnStage) {
  thread_stage<int(int)> stage{{.concurrency = 2, .capacity = 40}, [&stage](int x) {
                                 if (x == 1'000) stage.scatter_many(numbers(100));
                                 return x;
                               }};
  warm_up(stage, 0);
  stage.scatter_many(std::vector<int>(30, 1'000));
  std::size_t all = stage.gather().size();  // waits for those who scatter
  all += stage.gather().size();
  EXPECT_EQ(all, 30U + 30 * 100);
}

}  // namespace
