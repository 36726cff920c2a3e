// SPDX-License-Identifier: Apache-2.0
#include "engine/observe/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::duration_summary;
using penstock::detail::histogram;
using std::chrono::nanoseconds;

static_assert(sizeof(histogram) <= 3'000, "a stage has some of them");

constexpr std::int64_t covered = std::int64_t{1} << 47;

nanoseconds ns(std::int64_t count) { return nanoseconds{count}; }

testing::AssertionResult is_close(nanoseconds estimated, nanoseconds exact) {
  if (std::abs((estimated - exact).count()) <= exact.count() / 16) return testing::AssertionSuccess();
  return testing::AssertionFailure() << estimated.count() << " ns is more than 1/16 away from " << exact.count()
                                     << " ns";
}

// The nearest rank, by its definition: the smallest value such that at least so many percent are not above it.
nanoseconds exact_percentile(std::vector<std::int64_t> const& sorted, std::size_t percent) {
  std::size_t rank = 1;
  while (rank * 100 < percent * sorted.size()) ++rank;
  return ns(sorted[rank - 1]);
}

void expect_summary_of(histogram const& measured, std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  duration_summary const s = measured.summary();
  EXPECT_EQ(s.count, values.size());
  EXPECT_TRUE(is_close(s.p50, exact_percentile(values, 50))) << "p50";
  EXPECT_TRUE(is_close(s.p90, exact_percentile(values, 90))) << "p90";
  EXPECT_TRUE(is_close(s.p99, exact_percentile(values, 99))) << "p99";
  EXPECT_EQ(s.max.count(), values.back());
  EXPECT_LE(s.p50, s.p90);
  EXPECT_LE(s.p90, s.p99);
  EXPECT_LE(s.p99, s.max);
}

constexpr int distributions = 7;

std::int64_t draw(int distribution, std::mt19937_64& random) {
  switch (distribution) {
    case 0: return std::uniform_int_distribution<std::int64_t>{0, 20}(random);
    case 1: return std::uniform_int_distribution<std::int64_t>{0, 1'000'000}(random);
    case 2: return static_cast<std::int64_t>(std::exponential_distribution{1e-6}(random));
    case 3: return static_cast<std::int64_t>(std::exp2(std::uniform_real_distribution{0.0, 46.99}(random)));
    case 4: return static_cast<std::int64_t>(std::min(std::lognormal_distribution{12.0, 2.0}(random), 1e14));
    case 5: return random() % 10 == 0 ? 1'000'000'000 : 1'000;
    default: return (std::int64_t{1} << random() % 47) - static_cast<std::int64_t>(random() % 2);
  }
}

TEST(Histogram, IsEmptyAtFirst) {
  duration_summary const s = histogram{}.summary();
  EXPECT_EQ(s.count, 0U);
  for (nanoseconds const each : {s.p50, s.p90, s.p99, s.max}) EXPECT_EQ(each.count(), 0);
}

TEST(Histogram, PercentilesAreWithinASixteenthOfThoseOfTheSortedDurations) {
  std::mt19937_64 random{1};
  for (int round = 0; round < 3'000; ++round) {
    int const distribution = round % distributions;
    std::size_t const count = 1 + random() % (round % 2 == 0 ? 300 : 3'000);
    SCOPED_TRACE("round " + std::to_string(round));
    histogram measured;
    std::vector<std::int64_t> values;
    for (std::size_t i = 0; i < count; ++i) {
      values.push_back(draw(distribution, random));
      measured.record(ns(values.back()));
    }
    expect_summary_of(measured, std::move(values));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Histogram, AWeightIsAsGoodAsSoManyRecords) {
  std::mt19937_64 random{2};
  for (int round = 0; round < 1'000; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    histogram measured;
    std::vector<std::int64_t> values;
    std::size_t const count = 1 + random() % 100;
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t const value = draw(round % distributions, random);
      auto const weight = static_cast<std::uint32_t>(random() % 2 == 0 ? 64 : 1 + random() % 64);
      values.insert(values.end(), weight, value);
      measured.record(ns(value), weight);
    }
    expect_summary_of(measured, std::move(values));
    if (testing::Test::HasFailure()) return;
  }
}

// As the comment of histogram tells callers to do it.
TEST(Histogram, SamplesAndAllLongDurationsTogetherDescribeAllItems) {
  constexpr std::int64_t limit = 1'000'000;
  constexpr std::size_t items = 1U << 20U;
  for (double const long_ones : {0.0001, 0.02, 0.3, 0.95}) {  // p99 on either side of the limit, then p90, then p50
    SCOPED_TRACE(long_ones);
    std::mt19937_64 random{3};
    histogram sampled;
    std::vector<std::int64_t> all;
    std::uint64_t longer = 0;
    for (std::size_t i = 0; i < items; ++i) {
      bool const is_long = std::bernoulli_distribution{long_ones}(random);
      auto const value =
          static_cast<std::int64_t>(std::exp2(is_long ? std::uniform_real_distribution{20.0, 30.0}(random)
                                                      : std::uniform_real_distribution{7.0, 19.9}(random)));
      all.push_back(value);
      if (value > limit) {
        ++longer;
        sampled.record(ns(value), 1);
      } else if (i % 64 == 0) {
        sampled.record(ns(value), 64);
      }
    }
    std::ranges::sort(all);
    duration_summary const s = sampled.summary();
    EXPECT_EQ(s.max.count(), all.back());
    EXPECT_NEAR(static_cast<double>(s.count), items, items * 0.02);
    EXPECT_EQ(s.count % 64, longer % 64) << "each long item counts once";
    std::vector<std::pair<nanoseconds, double>> const estimates{{s.p50, 0.5}, {s.p90, 0.9}, {s.p99, 0.99}};
    for (auto const& [estimated, share] : estimates) {
      // What a sample gets wrong is the rank, by four standard deviations at most.
      double const wrong = 4 * std::sqrt(share * (1 - share) / (items / 64.0));
      auto const at = [&](double rank) { return ns(all[static_cast<std::size_t>(std::min(rank, 1.0) * (items - 1))]); };
      EXPECT_GE(estimated, at(share - wrong) * 15 / 16) << share;
      EXPECT_LE(estimated, at(share + wrong) * 17 / 16) << share;
    }
  }
}

TEST(Histogram, IsPreciseAtBothEndsOfEveryBucket) {
  auto const expect_close = [](std::int64_t value) {
    histogram measured;
    measured.record(ns(value), 2);
    measured.record(ns(covered));  // that the value is not the longest one, which is known exactly
    EXPECT_TRUE(is_close(measured.summary().p50, ns(value)));
    EXPECT_EQ(measured.summary().max.count(), covered);
  };
  for (std::int64_t value = 0; value < 4'096; ++value) expect_close(value);
  for (int power = 5; power < 47; ++power) {
    for (std::int64_t thirty_second = 32; thirty_second < 64; ++thirty_second) {
      std::int64_t const value = (thirty_second << power) >> 5;
      expect_close(value - 1);
      expect_close(value);
      expect_close(value + 1);
    }
  }
}

TEST(Histogram, ASingleDurationIsKnownExactly) {
  for (std::int64_t const value : {std::int64_t{0}, std::int64_t{1}, std::int64_t{12'345'678'901}, covered - 1, covered,
                                   std::numeric_limits<std::int64_t>::max()}) {
    histogram measured;
    measured.record(ns(value));
    duration_summary const s = measured.summary();
    EXPECT_EQ(s.count, 1U);
    for (nanoseconds const each : {s.p50, s.p90, s.p99, s.max}) EXPECT_EQ(each.count(), value);
  }
}

TEST(Histogram, ANegativeDurationIsNone) {
  histogram measured;
  measured.record(ns(-1));
  measured.record(nanoseconds::min(), 5);
  duration_summary const s = measured.summary();
  EXPECT_EQ(s.count, 6U);
  for (nanoseconds const each : {s.p50, s.p90, s.p99, s.max}) EXPECT_EQ(each.count(), 0);
}

TEST(Histogram, DurationsBeyondItsRangeCountAsTheLongestThatItHas) {
  histogram measured;
  measured.record(nanoseconds::max() - ns(1), 99);
  measured.record(nanoseconds::max());
  duration_summary const s = measured.summary();
  EXPECT_TRUE(is_close(s.p50, ns(covered)));
  EXPECT_TRUE(is_close(s.p99, ns(covered)));
  EXPECT_EQ(s.max, nanoseconds::max());
}

TEST(Histogram, CountsBeyond32Bits) {
  histogram measured;
  constexpr auto many = std::numeric_limits<std::uint32_t>::max();
  for (int i = 0; i < 3; ++i) measured.record(ns(10), many);
  measured.record(ns(1'000), many);
  duration_summary const s = measured.summary();
  EXPECT_EQ(s.count, std::uint64_t{many} * 4);
  EXPECT_EQ(s.p50.count(), 10);
  EXPECT_TRUE(is_close(s.p90, ns(1'000)));
}

TEST(Histogram, ClearLeavesNothing) {
  histogram measured;
  measured.record(ns(5'000), 64);
  measured.clear();
  EXPECT_EQ(measured.summary().count, 0U);
  measured.record(ns(3));
  EXPECT_EQ(measured.summary().count, 1U);
  EXPECT_EQ(measured.summary().max.count(), 3);
}

TEST(Histogram, LosesNothingWhenManyThreadsRecord) {
  constexpr int threads = 4;
  constexpr int rounds = 2'000;
  constexpr int at_once = 50;  // by each thread, then it is checked
  histogram measured;
  int checks = 0;
  int wrong = 0;
  auto const check = [&]() noexcept {
    duration_summary const s = measured.summary();
    std::int64_t const records = std::int64_t{++checks} * threads * at_once;
    wrong += std::cmp_not_equal(s.count, records) || s.max.count() != records - 1;
  };
  {
    std::barrier together{threads, check};
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        std::int64_t next = t;  // so that all threads try to raise the maximum all the time
        for (int round = 0; round < rounds; ++round) {
          for (int i = 0; i < at_once; ++i, next += threads) measured.record(ns(next));
          together.arrive_and_wait();
        }
      });
    }
  }
  EXPECT_EQ(checks, rounds);
  EXPECT_EQ(wrong, 0) << "of so many checks";
  std::vector<std::int64_t> all(std::size_t{threads} * rounds * at_once);
  std::iota(all.begin(), all.end(), 0);
  expect_summary_of(measured, std::move(all));
}

TEST(Histogram, SummariesMakeSenseWhileOthersRecord) {
  constexpr std::int64_t least = 1'000;
  histogram measured;
  std::atomic<bool> enough{false};
  std::atomic<std::uint64_t> recorded{0};
  std::vector<std::jthread> running;
  for (std::uint32_t const weight : {1U, 64U, 1U}) {
    running.emplace_back([&, weight] {
      std::uint64_t mine = 0;
      for (std::int64_t i = 0; !enough; ++i, mine += weight) measured.record(ns(least + i), weight);
      recorded += mine;
    });
  }
  duration_summary before;
  for (int summaries = 0; summaries < 20'000 || before.count < 1'000'000; ++summaries) {
    duration_summary const s = measured.summary();
    EXPECT_GE(s.count, before.count);
    EXPECT_GE(s.max, before.max);
    EXPECT_LE(s.p50, s.p90);
    EXPECT_LE(s.p90, s.p99);
    EXPECT_LE(s.p99, s.max);
    if (s.count > 0) {
      EXPECT_GE(s.p50.count(), least * 15 / 16);
    }
    before = s;
    if (testing::Test::HasFailure()) break;
  }
  enough = true;
  running.clear();
  EXPECT_EQ(measured.summary().count, recorded);
}

}  // namespace
