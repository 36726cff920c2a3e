// SPDX-License-Identifier: Apache-2.0
// What thread stages alone promise; for what they share with other kinds: tests/flow/thread_stage_battery_test.cpp.
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using penstock::thread_stage;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

int free_function(int x) { return x + 1; }

std::vector<int> iota(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
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

TEST(ThreadStage, AnArgumentOutlivesTheViewThatTheBodyTakes) {
  thread_stage length{2, [](std::string_view text) { return text.size(); }};
  length.scatter(std::string(1000, 'x'));
  length.scatter("four");
  EXPECT_THAT(length.gather(), ElementsAre(1000U, 4U));
}

TEST(ThreadStage, AReferenceWrapperStandsForWhatItRefersTo) {
  struct pinned {
    explicit pinned(int number) : value{number} {}
    pinned(pinned const&) = delete;
    pinned& operator=(pinned const&) = delete;
    int value;
  };
  thread_stage count{2, [](std::atomic<int>& counter, pinned& into) { into.value = ++counter; }};
  std::atomic<int> counter{0};
  pinned last{0};
  count.scatter(std::ref(counter), std::ref(last));
  count.gather();
  EXPECT_EQ(counter, 1);
  EXPECT_EQ(last.value, 1);
  thread_stage change{{.concurrency = 1, .attempts = 2}, [](std::vector<int>& into, pinned const& from) {
                        into.push_back(from.value);
                        if (into.size() == 1) throw std::runtime_error{"once more"};
                        return &into;
                      }};
  std::vector<int> seen;
  pinned const five{5};
  change.scatter(std::ref(seen), std::cref(five));
  EXPECT_THAT(change.gather(), ElementsAre(&seen));
  EXPECT_THAT(seen, ElementsAre(5, 5));
  change.scatter(seen, std::cref(five));  // a copy
  EXPECT_THAT(change.gather(), testing::Not(ElementsAre(&seen)));
  EXPECT_THAT(seen, ElementsAre(5, 5));
}

TEST(ThreadStage, ABodyThatIsNotThereIsRefused) {
  int (*const none)(int) = nullptr;
  EXPECT_THAT([&] { thread_stage stage(2, none); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("null function pointer")));
  EXPECT_THAT([] { thread_stage stage(2, std::function<int(int)>{}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("a std::function without a function")));
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
  EXPECT_THAT(message({.capacity = 0, .name = "resize"}), HasSubstr(".capacity is 0 for stage 'resize'; it must"));
  EXPECT_THAT(message({.attempts = 0}), HasSubstr(".attempts is 0; it must be at least 1"));
  EXPECT_THAT(message({.backoff = std::chrono::milliseconds{-1}}), HasSubstr(".backoff (in ms) is -1"));
  EXPECT_THAT(message({.max_errors = 0}), HasSubstr(".max_errors is 0; it must be at least 1"));
}

TEST(ThreadStage, AParameterThatNoSecondAttemptCouldHaveIsNamed) {
  try {
    thread_stage stage{{.name = "once", .attempts = 3}, [](int x, std::unique_ptr<int> y) { return x + *y; }};
    FAIL() << "a parameter taken by value, which cannot be copied, was accepted";
  } catch (std::invalid_argument const& error) {
    EXPECT_THAT(error.what(), HasSubstr(".attempts is 3 for stage 'once'; parameter 2 of the body"));
  }
}

}  // namespace
