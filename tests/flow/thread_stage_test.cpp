// SPDX-License-Identifier: Apache-2.0
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <latch>
#include <numeric>
#include <optional>
#include <semaphore>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using penstock::thread_stage;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

int free_function(int x) { return x + 1; }

std::vector<int> iota(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST(ThreadStage, GatherReturnsResultsInScatterOrder) {
  thread_stage same{4, [](int x) {
                      if (x % 7 == 0) std::this_thread::yield();
                      return x;
                    }};
  for (int i = 0; i < 10'000; ++i) same.scatter(i);
  EXPECT_EQ(same.gather(), iota(10'000));
}

TEST(ThreadStage, ASecondGatherIsEmptyAndTheStageWorksAgain) {
  thread_stage same{4, [](int x) { return x; }};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 12; ++i) same.scatter(i);
    EXPECT_EQ(same.gather(), iota(12));
    EXPECT_THAT(same.gather(), IsEmpty());
  }
}

TEST(ThreadStage, TheSignatureIsReadOffAnyCallable) {
  struct functor {
    std::string operator()(std::string const& text, int times) const {
      std::string out;
      for (int i = 0; i < times; ++i) out += text;
      return out;
    }
  };
  thread_stage function{2, free_function};
  thread_stage object{2, functor{}};
  thread_stage noexcept_lambda{2, [](double x) noexcept { return x / 2; }};
  thread_stage mutable_lambda{1, [calls = 0](int) mutable { return ++calls; }};
  thread_stage wrapped{2, std::function<long(short)>{[](short x) { return long{x}; }}};
  thread_stage plain{[](int x) { return -x; }};
  thread_stage<int(int)> generic{2, [](auto x) { return x; }};
  static_assert(std::is_same_v<decltype(function), thread_stage<int(int)>>);
  static_assert(std::is_same_v<decltype(object), thread_stage<std::string(std::string const&, int)>>);
  static_assert(std::is_same_v<decltype(noexcept_lambda), thread_stage<double(double)>>);
  static_assert(std::is_same_v<decltype(wrapped), thread_stage<long(short)>>);
  static_assert(std::is_same_v<decltype(plain), decltype(generic)>, "bodies of one signature give one type");

  function.scatter(1);
  object.scatter("ab", 2);
  mutable_lambda.scatter(0);
  mutable_lambda.scatter(0);
  EXPECT_THAT(function.gather(), ElementsAre(2));
  EXPECT_THAT(object.gather(), ElementsAre("abab"));
  EXPECT_THAT(mutable_lambda.gather(), ElementsAre(1, 2));
}

TEST(ThreadStage, APlainCallRunsTheBodyHere) {
  thread_stage where{2, [](int) { return std::this_thread::get_id(); }};
  EXPECT_EQ(where(0), std::this_thread::get_id());
  where.scatter(0);
  EXPECT_NE(where.gather().front(), std::this_thread::get_id());
}

TEST(ThreadStage, VoidBodiesAreWaitedFor) {
  std::atomic<int> sum{0};
  thread_stage add{3, [&sum](int x) { sum += x; }};
  for (int i = 1; i <= 100; ++i) add.scatter(i);
  static_assert(std::is_void_v<decltype(add.gather())>);
  add.gather();
  EXPECT_EQ(sum, 5050);
}

TEST(ThreadStage, AnArgumentOutlivesTheViewThatTheBodyTakes) {
  thread_stage length{2, [](std::string_view text) { return text.size(); }};
  length.scatter(std::string(1000, 'x'));
  length.scatter("four");
  EXPECT_THAT(length.gather(), ElementsAre(1000U, 4U));
}

TEST(ThreadStage, ParametersOfEveryKindGetTheirValue) {
  thread_stage body{
      2, [](std::string by_value, std::string const& by_const, std::string&& by_rvalue, std::string& by_ref) {
        by_ref += "!";
        return by_value + by_const + std::move(by_rvalue) + by_ref;
      }};
  thread_stage letter{2, [](char c) { return std::string(1, c); }};
  body.scatter("a", std::string{"b"}, "c", "d");
  auto shared = letter.scatter('x');
  body.scatter(shared, shared, shared, shared);
  EXPECT_THAT(body.gather(), ElementsAre("abcd!", "xxxx!"));
  EXPECT_EQ(shared.get(), "x") << "a body that changes its parameter must not change a shared result";
}

struct base {
  virtual ~base() = default;
  virtual int number() const = 0;
};
struct derived : base {
  int number() const override { return 2; }
};

TEST(ThreadStage, AnArgumentForAReferenceToItsBaseKeepsItsType) {
  thread_stage ask{1, [](base const& b) { return b.number(); }};
  thread_stage make{1, [](int) { return derived{}; }};
  ask.scatter(derived{});
  ask.scatter(make.scatter(0));
  EXPECT_THAT(ask.gather(), ElementsAre(2, 2));
}

TEST(ThreadStage, ArgumentsConvertAsInACall) {
  thread_stage optional{1, [](std::optional<int> x) { return x.value_or(-1); }};
  optional.scatter(std::nullopt);
  optional.scatter(5);
  EXPECT_THAT(optional.gather(), ElementsAre(-1, 5));

  thread_stage fill{1, [](std::span<int> numbers) {
                      for (int& each : numbers) each = 7;
                      return std::accumulate(numbers.begin(), numbers.end(), 0);
                    }};
  thread_stage make{1, [](int size) { return std::vector<int>(static_cast<std::size_t>(size), 1); }};
  auto shared = make.scatter(3);
  fill.scatter(std::vector<int>{1, 2});
  fill.scatter(make.scatter(2));
  fill.scatter(shared);
  EXPECT_THAT(fill.gather(), ElementsAre(14, 14, 21));
  EXPECT_THAT(shared.get(), ElementsAre(1, 1, 1)) << "a mutable view of a shared result must not change it";
}

TEST(ThreadStage, AParameterThatTakesOnlyRvaluesDoesNotEmptyASharedResult) {
  struct sink {
    std::vector<int> kept;
    sink(std::vector<int>&& v) : kept{std::move(v)} {}  // NOLINT(google-explicit-constructor)
  };
  thread_stage make{1, [](int size) { return iota(size); }};
  thread_stage use{1, [](sink s) { return s.kept.size(); }};
  auto shared = make.scatter(5);
  use.scatter(shared);
  use.scatter(shared);
  EXPECT_THAT(use.gather(), ElementsAre(5U, 5U));
  EXPECT_EQ(shared.get().size(), 5U);
}

TEST(ThreadStage, OverAlignedValuesAreAligned) {
  struct alignas(256) wide {
    int value = 0;
  };
  thread_stage address{2, [](wide const& w) { return reinterpret_cast<std::uintptr_t>(&w) % 256; }};
  thread_stage make{2, [](int x) { return wide{x}; }};
  for (int i = 0; i < 10; ++i) address.scatter(wide{i});
  for (int i = 0; i < 10; ++i) address.scatter(make.scatter(i));
  EXPECT_THAT(address.gather(), Each(0U));
}

TEST(ThreadStage, AVoidSignatureAcceptsABodyWithAResult) {
  thread_stage<void(int)> ignore{1, [](int x) { return x; }};
  ignore.scatter(1);
  ignore.gather();
  EXPECT_EQ(ignore.stats().done, 1U);
}

static_assert(!std::is_constructible_v<thread_stage<int(int)>, thread_stage<int(int)>&>, "a stage is no body");
static_assert(!std::is_copy_constructible_v<thread_stage<int(int)>>);

TEST(ThreadStage, CountsAreExactAtRest) {
  thread_stage odd_fails{3, [](int x) {
                           if (x % 2 == 1) throw std::runtime_error{"odd"};
                           return x;
                         }};
  for (int i = 0; i < 101; ++i) odd_fails.scatter(i);
  EXPECT_EQ(odd_fails.outcomes().size(), 101U);
  auto const stats = odd_fails.stats();
  EXPECT_EQ(stats.done, 51U);
  EXPECT_EQ(stats.failed, 50U);
  EXPECT_EQ(stats.queued, 0U);
  EXPECT_EQ(stats.running, 0U);
}

TEST(ThreadStage, CountsTellWhatRunsAndWhatWaits) {
  std::latch both_in{2};
  std::latch go{1};
  thread_stage hold{2, [&](int x) {
                      if (x < 2) both_in.count_down();
                      go.wait();
                    }};
  hold.scatter(0);
  hold.scatter(1);
  both_in.wait();
  hold.scatter(2);
  EXPECT_EQ(hold.stats().running, 2U);
  EXPECT_EQ(hold.stats().queued, 1U);
  go.count_down();
}

TEST(ThreadStage, ScatterBlocksAtCapacityUntilAnItemIsFinished) {
  std::counting_semaphore<> let_go{0};
  thread_stage hold{{.concurrency = 2, .capacity = 8}, [&](int x) {
                      let_go.acquire();
                      return x;
                    }};
  for (int i = 0; i < 8; ++i) hold.scatter(i);
  EXPECT_FALSE(hold.try_scatter(100).has_value());
  std::atomic<int> accepted{8};
  std::thread producer{[&] {
    for (int i = 8; i < 100; ++i) {
      hold.scatter(i);
      ++accepted;
    }
  }};
  for (int finished = 0; finished < 92; ++finished) {
    while (accepted < 8 + finished) std::this_thread::yield();
    // A producer that did not block would have run on by now.
    for (int looks = 0; looks < 200; ++looks) std::this_thread::yield();
    EXPECT_EQ(accepted, 8 + finished);
    EXPECT_EQ(hold.stats().queued + hold.stats().running, 8U);
    let_go.release();  // one item finishes, one place is free
  }
  let_go.release(8);
  producer.join();
  EXPECT_EQ(hold.gather(), iota(100));
}

TEST(ThreadStage, ManyBlockedProducersAllGetThrough) {
  thread_stage slow{{.concurrency = 1, .capacity = 1}, [](int x) {
                      std::this_thread::yield();
                      return x;
                    }};
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 32; ++p) {
      producers.emplace_back([&slow] {
        for (int i = 0; i < 20; ++i) slow.scatter(i);
      });
    }
  }
  EXPECT_EQ(slow.gather().size(), 640U);
}

TEST(ThreadStage, ARefusedTryScatterLeavesItsArgumentsUntouched) {
  std::latch go{1};
  thread_stage hold{{.concurrency = 1, .capacity = 1}, [&](std::vector<int> const& v, std::string const& s) {
                      go.wait();
                      return v.size() + s.size();
                    }};
  thread_stage make{2, [](int n) { return iota(n); }};
  hold.scatter(iota(1), "");
  auto numbers = make.scatter(5);
  std::string text(100, 'x');
  EXPECT_FALSE(hold.try_scatter(std::move(numbers), std::move(text)).has_value());
  EXPECT_TRUE(numbers.valid());
  EXPECT_EQ(text.size(), 100U);
  EXPECT_THAT(make.gather(), ElementsAre(iota(5))) << "a refused future stays in its stage's gather";
  go.count_down();
}

TEST(ThreadStage, ABodyMayScatterIntoItsOwnFullStage) {
  std::atomic<int> runs{0};
  std::atomic<thread_stage<void(int)>*> self{nullptr};
  thread_stage<void(int)> tree{{.concurrency = 2, .capacity = 1}, [&](int depth) {
                                 ++runs;
                                 if (depth == 0) return;
                                 self.load()->scatter(depth - 1);
                                 self.load()->scatter(depth - 1);
                               }};
  self = &tree;
  tree.scatter(8);
  while (runs < 511) tree.gather();  // a gather covers what was scattered before it
  EXPECT_EQ(runs, 511);
}

TEST(ThreadStage, ABodyThatGathersItsOwnStageIsRefused) {
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> stage{{.concurrency = 2, .name = "narcissus"},
                               [&](int) { return static_cast<int>(self.load()->gather().size()); }};
  self = &stage;
  stage.scatter(0);
  auto const outcomes = stage.outcomes();
  ASSERT_FALSE(outcomes.front().has_value());
  EXPECT_THROW((void)outcomes.front().value(), penstock::would_deadlock);
  EXPECT_THAT(outcomes.front().error().what(), HasSubstr("'narcissus'"));
}

TEST(ThreadStage, OfConcurrentGathersEachItemGoesToOne) {
  thread_stage same{4, [](int x) { return x; }};
  constexpr int items = 20'000;
  std::vector<std::vector<int>> shares(4);
  std::atomic<bool> scattered{false};
  {
    std::vector<std::jthread> gatherers;
    for (auto& share : shares) {
      gatherers.emplace_back([&] {
        for (bool last = false; !last;) {
          last = scattered;
          for (int value : same.gather()) share.push_back(value);
        }
      });
    }
    for (int i = 0; i < items; ++i) same.scatter(i);
    scattered = true;
  }
  std::vector<int> all;
  for (auto const& share : shares) {
    EXPECT_TRUE(std::ranges::is_sorted(share));
    all.insert(all.end(), share.begin(), share.end());
  }
  std::ranges::sort(all);
  EXPECT_EQ(all, iota(items));
}

TEST(ThreadStage, ManyThreadsMayScatterIntoOneStage) {
  thread_stage same{{.concurrency = 4, .capacity = 16}, [](int x) { return x; }};
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 4; ++p) {
      producers.emplace_back([&same, p] {
        for (int i = 0; i < 2'500; ++i) same.scatter(p * 2'500 + i);
      });
    }
  }
  auto all = same.gather();
  std::ranges::sort(all);
  EXPECT_EQ(all, iota(10'000));
}

TEST(ThreadStage, StagesAreMembersAndMoveWithTheirObjects) {
  struct counter {
    int step;
    thread_stage<int(int)> next{2, [step = step](int x) { return x + step; }};
  };
  std::vector<counter> counters;
  counters.emplace_back(counter{1});
  counters.emplace_back(counter{10});
  for (auto& each : counters) each.next.scatter(5);
  EXPECT_THAT(counters[0].next.gather(), ElementsAre(6));
  EXPECT_THAT(counters[1].next.gather(), ElementsAre(15));
}

TEST(ThreadStage, AWrongOptionIsNamedWithItsValue) {
  auto const message = [](penstock::stage_options const& options) {
    try {
      thread_stage stage{options, [](int x) { return x; }};
    } catch (std::invalid_argument const& error) {
      return std::string{error.what()};
    }
    return std::string{};
  };
  EXPECT_THAT(message({.concurrency = -3}), HasSubstr(".concurrency is -3; it must be at least 0"));
  EXPECT_THAT(message({.capacity = 0}), HasSubstr(".capacity is 0; it must be at least 1"));
  EXPECT_THAT(message({.attempts = 0}), HasSubstr(".attempts is 0; it must be at least 1"));
  EXPECT_THAT(message({.backoff = std::chrono::milliseconds{-1}}), HasSubstr(".backoff (in ms) is -1"));
  EXPECT_THAT(message({.max_errors = 0}), HasSubstr(".max_errors is 0; it must be at least 1"));
}

}  // namespace
