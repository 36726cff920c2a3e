// SPDX-License-Identifier: Apache-2.0
// .capacity_bytes
#include <penstock/penstock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bytes_test {

// Says that it is large, and counts those that live.
class block {
 public:
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> most{0};
  static constexpr std::size_t bytes = 4'000;

  explicit block(int of) : value{of} { begin(); }
  block(block const& other) : value{other.value} { begin(); }
  block(block&& other) noexcept : value{other.value}, counted_{std::exchange(other.counted_, false)} {}
  block& operator=(block other) noexcept {
    value = other.value;
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~block() {
    if (counted_) --alive;
  }

  int value;

 private:
  void begin() {
    int const now = ++alive;
    int before = most;
    while (before < now && !most.compare_exchange_weak(before, now)) continue;
  }

  bool counted_ = true;
};
std::size_t size_bytes(block const& /*any*/) { return block::bytes; }

}  // namespace bytes_test

namespace {

using bytes_test::block;
using penstock::thread_stage;
using testing::ElementsAre;

class Bytes : public testing::Test {
 protected:
  void SetUp() override { block::most = 0; }
  void TearDown() override { EXPECT_EQ(block::alive, 0); }
};

TEST_F(Bytes, ScatterBlocksAtTheBudget) {
  std::latch go{1};
  thread_stage lengths{{.concurrency = 1, .capacity_bytes = 10'000}, [&go](std::string const& text) {
                         go.wait();
                         return text.size();
                       }};
  std::string const text(4'000, 'x');
  EXPECT_TRUE(lengths.try_scatter(text));
  std::string second = text;
  EXPECT_TRUE(lengths.try_scatter(std::move(second)));
  std::string third = text;
  EXPECT_FALSE(lengths.try_scatter(std::move(third)));
  EXPECT_EQ(third, text) << "refused, it is untouched";
  EXPECT_TRUE(lengths.try_scatter(std::string(100, 'y'))) << "for that there is room";
  std::jthread const blocked{[&] { lengths.scatter(text); }};
  go.count_down();
  std::vector<std::size_t> all;
  while (all.size() < 4) std::ranges::copy(lengths.gather(), std::back_inserter(all));
  EXPECT_THAT(all, ElementsAre(4'000, 4'000, 100, 4'000));
}

TEST_F(Bytes, AnItemLargerThanTheBudgetGoesAlone) {
  std::latch go{1};
  thread_stage lengths{{.concurrency = 2, .capacity_bytes = 10'000}, [&go](std::string const& text) {
                         go.wait();
                         return text.size();
                       }};
  EXPECT_TRUE(lengths.try_scatter(std::string(50'000, 'x')));
  EXPECT_FALSE(lengths.try_scatter(std::string("y")));
  go.count_down();
  EXPECT_THAT(lengths.gather(), ElementsAre(50'000));
  EXPECT_TRUE(lengths.try_scatter(std::string("y")));
}

TEST_F(Bytes, ItemsOfOneSizeAreCounted) {
  std::latch go{1};
  thread_stage first{{.concurrency = 1, .capacity_bytes = 3'500}, [&go](std::array<char, 1'000> const& all) {
                       go.wait();
                       return all[0];
                     }};
  std::array<char, 1'000> const one{};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(first.try_scatter(one));
  EXPECT_FALSE(first.try_scatter(one));
  go.count_down();
}

TEST_F(Bytes, ManyScatterAtOnceAndInAllWays) {
  thread_stage lengths{{.concurrency = 2, .capacity_bytes = 5'000},
                       [](std::string const& text) { return text.size(); }};
  std::vector<std::string> const texts(300, std::string(1'000, 'x'));
  lengths.scatter_many(texts);
  EXPECT_EQ(lengths.gather().size(), 300U);
  std::size_t read = 0;
  for (auto&& each : lengths.stream(texts)) read += *each;
  EXPECT_EQ(read, 300'000U);
  for (int i = 0; i < 300; ++i) lengths.scatter(std::string(1'000, 'x'));
  EXPECT_EQ(lengths.gather().size(), 300U);
  EXPECT_TRUE(lengths.try_scatter(std::string(4'000, 'x'))) << "all has been given back";
}

// At most two blocks fit.
thread_stage<block(int)> stage_that_makes(std::atomic<int>& made) {
  return {{.concurrency = 1, .capacity_bytes = 10'000}, [&made](int x) {
            ++made;
            return block{x};
          }};
}
// Leaves time for more to be made, if that were allowed.
thread_stage<int(block const&)> stage_that_uses(std::atomic<int> const& made, int more) {
  return {{.concurrency = 1}, [&made, more](block const& given) {
            for (int i = 0; i < 100 && made < given.value + more; ++i) std::this_thread::yield();
            return given.value;
          }};
}

// One more may be made before the third is known.
TEST_F(Bytes, BodiesWaitWhileResultsWait) {
  std::atomic<int> made{0};
  auto make = stage_that_makes(made);
  auto use = stage_that_uses(made, 10);
  for (int i = 0; i < 300; ++i) use.scatter(make.scatter(i));
  EXPECT_EQ(use.gather().size(), 300U);
  EXPECT_LE(block::most, 3);
  EXPECT_EQ(make.stats().over_budget, 0U);
}

TEST_F(Bytes, WhatIsGatheredDoesNotHoldBodiesUp) {
  thread_stage make{{.concurrency = 2, .capacity_bytes = 8'000}, [](int x) { return block{x}; }};
  for (int i = 0; i < 50; ++i) make.scatter(i);
  EXPECT_EQ(make.gather().size(), 50U);
  EXPECT_EQ(make.stats().over_budget, 0U);
}

// The same between the stages of a pipeline.
TEST_F(Bytes, BodiesWaitWhileWhatTheyMadeWaitsInAPipeline) {
  std::atomic<int> made{0};
  auto make = stage_that_makes(made);
  thread_stage same{{.concurrency = 1, .capacity_bytes = 10'000}, [](block given) { return given; }};
  auto use = stage_that_uses(made, 20);
  auto short_chain = make | use;
  for (int i = 0; i < 300; ++i) short_chain.scatter(i);
  EXPECT_EQ(short_chain.gather().size(), 300U);
  EXPECT_LE(block::most, 3);
  block::most = 0;
  made = 0;
  auto chain = make | same | use;
  for (int i = 0; i < 300; ++i) chain.scatter(i);
  EXPECT_EQ(chain.gather().size(), 300U);
  EXPECT_LE(block::most, 6);
  EXPECT_EQ(make.stats().over_budget + same.stats().over_budget, 0U);
}

TEST_F(Bytes, ResultsOfAPipelineHoldItsLastStageUp) {
  std::atomic<int> made{0};
  thread_stage number{1, [](int x) { return x; }};
  auto make = stage_that_makes(made);
  auto use = stage_that_uses(made, 10);
  auto chain = number | make;
  for (int i = 0; i < 300; ++i) use.scatter(chain.scatter(i));
  EXPECT_EQ(use.gather().size(), 300U);
  EXPECT_LE(block::most, 3);
  EXPECT_EQ(make.stats().over_budget, 0U);
}

// What failed, was dropped or was cancelled on the way holds nothing.
TEST_F(Bytes, ItemsThatLeaveAPipelineHoldNothing) {
  thread_stage make{{.concurrency = 2, .capacity_bytes = 10'000}, [](int x) { return block{x}; }};
  thread_stage choose{{.concurrency = 2, .capacity = 8}, [](block const& given) -> std::optional<int> {
                        if (given.value % 3 == 0) throw std::runtime_error{"a third"};
                        if (given.value % 3 == 1) return {};
                        return given.value;
                      }};
  auto chain = make | choose;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 90; ++i) chain.scatter(i);
    EXPECT_EQ(chain.outcomes().size(), 90U);
    for (int i = 0; i < 60; ++i) chain.scatter(i);
    if (round % 2 == 0) chain.cancel();
    else choose.cancel();
    (void)chain.outcomes();
  }
  EXPECT_EQ(make.stats().over_budget, 0U);
  thread_stage use{{.concurrency = 1}, [](block const& given) { return given.value; }};
  for (int i = 0; i < 50; ++i) use.scatter(make.scatter(i));
  EXPECT_EQ(use.gather().size(), 50U);
  EXPECT_EQ(make.stats().over_budget, 0U) << "something is charged still";
}

// Each input holds what waits for the other one.
TEST_F(Bytes, TheBudgetIsExceededRatherThanKeptForEver) {
  constexpr int many = 12;
  std::latch go{1};
  auto const body = [&go](int x) {
    go.wait();
    return block{x};
  };
  thread_stage left{{.concurrency = 1, .capacity_bytes = 8'000}, body};
  thread_stage right{{.concurrency = 1, .capacity_bytes = 8'000}, body};
  thread_stage join{{.concurrency = 2}, [](block const& a, block const& b) { return a.value + b.value; }};
  std::vector<penstock::future<block>> lefts;
  std::vector<penstock::future<block>> rights;
  for (int i = 0; i < many; ++i) lefts.push_back(left.scatter(i));
  for (int i = many - 1; i >= 0; --i) rights.push_back(right.scatter(i));
  for (std::size_t i = 0; i < many; ++i) join.scatter(std::move(lefts[i]), std::move(rights[many - 1 - i]));
  go.count_down();
  auto const sums = join.gather();
  ASSERT_EQ(sums.size(), static_cast<std::size_t>(many));
  for (int i = 0; i < many; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], 2 * i);
  EXPECT_GT(left.stats().over_budget + right.stats().over_budget, 0U);
}

TEST_F(Bytes, AStreamHoldsWhatItsBudgetAllows) {
  thread_stage make{{.concurrency = 1, .capacity_bytes = 12'000}, [](int x) { return block{x}; }};
  int read = 0;
  for (auto&& each : make.stream(std::views::iota(0, 300))) {
    ASSERT_EQ(each->value, read++);
    if (read % 100 == 50) std::this_thread::sleep_for(std::chrono::milliseconds{20});  // long, and nothing else goes on
  }
  EXPECT_LE(block::most, 5) << "three that fit, one on its way, one that is read";
  read = 0;
  block::most = 0;
  for (auto&& each : make.as_completed(std::views::iota(0, 300))) read += each.has_value() ? 1 : 0;
  EXPECT_EQ(read, 300);
  EXPECT_LE(block::most, 5);
  EXPECT_EQ(make.stats().over_budget, 0U);
}

TEST_F(Bytes, AStreamOfAPipelineHoldsWhatTheBudgetsAllow) {
  thread_stage number{1, [](int x) { return x; }};  // which keeps the order: the oldest is never behind others
  thread_stage make{{.concurrency = 1, .capacity_bytes = 12'000}, [](int x) { return block{x}; }};
  auto chain = number | make;
  int read = 0;
  for (auto&& each : chain.stream(std::views::iota(0, 300))) {
    ASSERT_EQ(each->value, read++);
    if (read % 100 == 50) std::this_thread::sleep_for(std::chrono::milliseconds{20});  // long, and nothing else goes on
  }
  EXPECT_LE(block::most, 5) << "three that fit, one on its way, one that is read";
  EXPECT_EQ(make.stats().over_budget, 0U);
}

TEST_F(Bytes, AStreamThatIsLeftHoldsNothing) {
  thread_stage make{{.concurrency = 1, .capacity_bytes = 8'000}, [](int x) { return block{x}; }};
  for (int round = 0; round < 20; ++round) {
    for (auto&& each : make.stream(std::views::iota(0))) {
      if (each->value == round) break;
    }
    for (auto&& each : make.as_completed(std::views::iota(0))) {
      if (each->value == round) break;
    }
  }
  thread_stage use{{.concurrency = 1}, [](block const& given) { return given.value; }};
  for (int i = 0; i < 50; ++i) use.scatter(make.scatter(i));
  EXPECT_EQ(use.gather().size(), 50U);
  EXPECT_EQ(make.stats().over_budget, 0U);
}

TEST_F(Bytes, WhoeverWaitedMayGo) {
  thread_stage make{{.concurrency = 1, .capacity_bytes = 8'000}, [](int x) { return block{x}; }};
  for (int round = 0; round < 20; ++round) {
    thread_stage gone{{.concurrency = 1}, [](block const& given, int y) { return given.value + y; }};
    thread_stage slow{{.concurrency = 1}, [](std::stop_token const& stop, int x) {
                        while (!stop.stop_requested()) std::this_thread::yield();
                        return x;
                      }};
    auto held = slow.scatter(1);
    for (int i = 0; i < 2; ++i) gone.scatter(make.scatter(i), held);  // fills the budget, and waits for ever
    gone.cancel();
    slow.cancel();
  }
  thread_stage use{{.concurrency = 1}, [](block const& given) { return given.value; }};
  for (int i = 0; i < 50; ++i) use.scatter(make.scatter(i));
  EXPECT_EQ(use.gather().size(), 50U);
  (void)make.outcomes();
}

TEST_F(Bytes, AreCheckedAtConstruction) {
  EXPECT_THROW((thread_stage{{.capacity_bytes = 0}, [](int x) { return x; }}), std::invalid_argument);
}

TEST(CapacityBytes, CountsTheArgumentsOfAPipelineInItsFirstStage) {
  std::latch go{1};
  thread_stage length{{.concurrency = 1, .capacity_bytes = 10'000}, [&go](std::string const& text) {
                        go.wait();
                        return text.size();
                      }};
  thread_stage twice{[](std::size_t x) { return 2 * x; }};
  auto chain = length | twice;
  auto const first = chain.scatter(std::string(6'000, 'a'));
  EXPECT_FALSE(chain.try_scatter(std::string(6'000, 'b')));
  EXPECT_FALSE(length.try_scatter(std::string(6'000, 'c')));
  EXPECT_TRUE(chain.try_scatter(std::string(3'000, 'd')));
  go.count_down();
  EXPECT_EQ(chain.gather().size(), 2U);
  EXPECT_EQ(first.get(), 12'000U);
  EXPECT_TRUE(chain.try_scatter(std::string(9'000, 'e')));
  (void)chain.gather();
}

}  // namespace
