// SPDX-License-Identifier: Apache-2.0
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

using penstock::future;
using penstock::thread_stage;
using testing::ElementsAre;
using testing::IsEmpty;

// Counts copies, to tell a move from a copy.
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

class Future : public testing::Test {
 protected:
  void SetUp() override { counted::copies = 0; }
  thread_stage<counted(int)> make{2, [](int v) { return counted{v}; }};
};

static_assert(std::is_copy_constructible_v<future<int>>);
static_assert(std::is_copy_constructible_v<future<void>>);
static_assert(!std::is_copy_constructible_v<future<std::unique_ptr<int>>>);
static_assert(!std::is_copy_constructible_v<future<std::vector<std::unique_ptr<int>>>>, "not fooled by std::vector");
static_assert(std::is_nothrow_move_constructible_v<future<std::unique_ptr<int>>>);

TEST_F(Future, PairsByIdentityInAnyPosition) {
  thread_stage number{3, [](int x) { return x; }};
  thread_stage text{3, [](int x) { return std::to_string(x); }};
  thread_stage join{3, [](int a, std::string const& b, int c) { return b + ":" + std::to_string(a - c); }};
  std::vector<future<int>> numbers;
  for (int i = 0; i < 100; ++i) numbers.push_back(number.scatter(i));
  for (int i = 99; i >= 0; i -= 3) {  // a subset, reversed, mixed with values
    join.scatter(numbers[static_cast<std::size_t>(i)], text.scatter(i), 1);
  }
  auto const joined = join.gather();
  ASSERT_EQ(joined.size(), 34U);
  for (std::size_t k = 0; k < joined.size(); ++k) {
    int const i = 99 - 3 * static_cast<int>(k);
    EXPECT_EQ(joined[k], std::to_string(i) + ":" + std::to_string(i - 1));
  }
}

TEST_F(Future, OneFutureFeedsManyCallsAndSeveralParametersOfOne) {
  thread_stage number{2, [](int x) { return x; }};
  thread_stage add{2, [](int a, int b) { return a + b; }};
  thread_stage negate{2, [](int a) { return -a; }};
  auto shared = number.scatter(21);
  add.scatter(shared, shared);
  negate.scatter(shared);
  EXPECT_THAT(add.gather(), ElementsAre(42));
  EXPECT_THAT(negate.gather(), ElementsAre(-21));
  EXPECT_EQ(shared.get(), 21);
}

TEST_F(Future, AScatteredFutureLeavesItsOwnGather) {
  thread_stage number{2, [](int x) { return x; }};
  thread_stage use{2, [](int x) { return x; }};
  auto first = number.scatter(1);
  auto second = number.scatter(2);
  number.scatter(3);
  use.scatter(second);
  use.scatter(second);
  EXPECT_THAT(number.gather(), ElementsAre(1, 3));
  EXPECT_THAT(use.gather(), ElementsAre(2, 2));
  EXPECT_EQ(first.get(), 1) << "a gathered result that can be copied is still there for its future";
}

TEST_F(Future, AGatheredFutureCannotBeScattered) {
  thread_stage number{{.concurrency = 2, .name = "number"}, [](int x) { return x; }};
  thread_stage add{2, [](int a, int b) { return a + b; }};
  auto gathered = number.scatter(1);
  EXPECT_THAT(number.gather(), ElementsAre(1));
  auto fresh = number.scatter(2);
  try {
    add.scatter(fresh, gathered);
    FAIL() << "a gathered future was scattered";
  } catch (penstock::already_gathered const& error) {
    EXPECT_EQ(error.stage(), "number");
    EXPECT_EQ(error.index(), 0U);
  }
  EXPECT_THAT(add.gather(), IsEmpty()) << "the refused call must not count";
  EXPECT_EQ(add.stats().queued, 0U);
  EXPECT_THAT(number.gather(), ElementsAre(2)) << "its other argument stays in its gather";
}

TEST_F(Future, ARefusedScatterPutsItsArgumentsBackInOrder) {
  thread_stage number{2, [](int x) { return x; }};
  thread_stage add{2, [](int a, int b) { return a + b; }};
  auto gathered = number.scatter(0);
  (void)number.gather();
  std::vector<future<int>> fresh;
  for (int i = 0; i < 3; ++i) fresh.push_back(number.scatter(i));
  for (std::size_t i : {1U, 0U, 2U}) EXPECT_THROW(add.scatter(fresh[i], gathered), penstock::already_gathered);
  EXPECT_THAT(number.gather(), ElementsAre(0, 1, 2));
}

TEST_F(Future, TheLastOwnerGetsTheResultByMove) {
  thread_stage by_value{2, [](counted c) { return c.value; }};
  thread_stage by_reference{2, [](counted const& c) { return c.value; }};
  by_value.scatter(make.scatter(1));
  by_reference.scatter(make.scatter(2));
  auto moved = make.scatter(3);
  by_value.scatter(std::move(moved));
  EXPECT_THAT(by_value.gather(), ElementsAre(1, 3));
  EXPECT_THAT(by_reference.gather(), ElementsAre(2));
  for (int i = 0; i < 5; ++i) make.scatter(i);
  EXPECT_EQ(make.gather().size(), 5U);
  EXPECT_EQ(std::move(make.scatter(7)).get().value, 7);
  EXPECT_EQ(counted::copies, 0);
}

TEST_F(Future, ASharedResultIsCopiedOrReferred) {
  thread_stage by_value{2, [](counted c) { return c.value; }};
  thread_stage by_reference{2, [](counted const& c) { return c.value; }};
  auto shared = make.scatter(1);
  by_reference.scatter(shared);
  by_reference.gather();
  EXPECT_EQ(counted::copies, 0);
  by_value.scatter(shared);
  by_value.gather();
  EXPECT_EQ(counted::copies, 1);
  EXPECT_EQ(shared.get().value, 1);
}

TEST_F(Future, ValuesDieWithTheirLastConsumer) {
  thread_stage use{2, [](counted const& c) { return c.value; }};
  std::vector<future<int>> results;
  for (int i = 0; i < 100; ++i) results.push_back(use.scatter(make.scatter(i)));
  for (auto& each : results) each.wait();
  use.gather();
  EXPECT_EQ(counted::alive, 0);
}

TEST_F(Future, MoveOnlyValuesPassThrough) {
  using pointer = std::unique_ptr<int>;
  thread_stage wrap{2, [](int x) { return std::make_unique<int>(x); }};
  thread_stage plus{2, [](pointer p, pointer const& q, pointer&& r) { return std::make_unique<int>(*p + *q + *r); }};
  plus.scatter(wrap.scatter(1), wrap.scatter(2), std::make_unique<int>(4));
  auto sums = plus.gather();
  ASSERT_EQ(sums.size(), 1U);
  EXPECT_EQ(*sums.front(), 7);

  auto kept = wrap.scatter(5);
  EXPECT_EQ(*kept.get(), 5);
  EXPECT_EQ(*wrap.gather().front(), 5);
  EXPECT_THROW((void)kept.get(), penstock::already_gathered);
  EXPECT_THROW((void)std::move(kept).get(), penstock::already_gathered);
}

TEST_F(Future, GetByMoveTakesTheItemOutOfItsGather) {
  thread_stage number{2, [](int x) { return x; }};
  auto first = number.scatter(1);
  number.scatter(2);
  EXPECT_EQ(std::move(first).get(), 1);
  EXPECT_FALSE(first.valid());
  EXPECT_THAT(number.gather(), ElementsAre(2));
  EXPECT_THROW((void)first.get(), std::logic_error);
}

TEST_F(Future, ATupleFillsOneParameterAnElement) {
  thread_stage load{2, [](int x) { return std::tuple{x, std::string(1, 'a')}; }};
  thread_stage first{2, [](int x, std::string const& s, int z) { return std::to_string(x) + s + std::to_string(z); }};
  thread_stage last{2, [](int z, int x, std::string s) { return std::to_string(z) + std::to_string(x) + s; }};
  first.scatter(load.scatter(1), 2);
  last.scatter(2, load.scatter(1));
  EXPECT_THAT(first.gather(), ElementsAre("1a2"));
  EXPECT_THAT(last.gather(), ElementsAre("21a"));
}

TEST_F(Future, ATupleParameterReceivesItWhole) {
  using pair = std::tuple<int, int>;
  thread_stage load{2, [](int x) { return pair{x, x + 1}; }};
  thread_stage whole{2, [](pair const& p) { return std::get<0>(p) + std::get<1>(p); }};
  thread_stage mixed{2, [](pair p, int a, int b) { return std::get<1>(p) * 100 + a * 10 + b; }};
  whole.scatter(load.scatter(1));
  mixed.scatter(load.scatter(1), load.scatter(3));
  EXPECT_THAT(whole.gather(), ElementsAre(3));
  EXPECT_THAT(mixed.gather(), ElementsAre(234));
}

TEST_F(Future, UnpackingCanBeLeftOff) {
  struct any_tuple {
    any_tuple(std::tuple<int> t)
        : text{"tuple of " + std::to_string(std::get<0>(t))} {}  // NOLINT(google-explicit-constructor)
    any_tuple(int x) : text{"int " + std::to_string(x)} {}       // NOLINT(google-explicit-constructor)
    std::string text;
  };
  thread_stage load{2, [](int x) { return std::tuple{x}; }};
  thread_stage on{2, [](any_tuple const& a) { return a.text; }};
  thread_stage off{{.concurrency = 2, .unpack = false}, [](any_tuple const& a) { return a.text; }};
  on.scatter(load.scatter(1));
  off.scatter(load.scatter(1));
  EXPECT_THAT(on.gather(), ElementsAre("int 1"));
  EXPECT_THAT(off.gather(), ElementsAre("tuple of 1"));

  thread_stage two{{.concurrency = 2, .unpack = false}, [](int a, int b) { return a + b; }};
  thread_stage pair{2, [](int x) { return std::tuple{x, x}; }};
  EXPECT_THROW(two.scatter(pair.scatter(1)), std::invalid_argument);
  EXPECT_EQ(two.stats().queued, 0U);
}

TEST_F(Future, AVectorOfFuturesArrivesAsAVectorOfValues) {
  thread_stage number{3, [](int x) { return x; }};
  thread_stage sum{3, [](std::vector<int> const& all, int more) {
                     for (int each : all) more += each;
                     return more;
                   }};
  std::vector<future<int>> many;
  for (int i = 0; i < 500; ++i) many.push_back(number.scatter(i));
  sum.scatter(many, 0);
  sum.scatter(std::move(many), 1);
  sum.scatter(std::vector<future<int>>{}, 7);
  EXPECT_THAT(sum.gather(), ElementsAre(124'750, 124'751, 7));
  EXPECT_THAT(number.gather(), IsEmpty());
}

TEST_F(Future, AVoidFutureIsOnlyWaitedFor) {
  std::latch go{1};
  std::atomic<bool> prepared{false};
  thread_stage prepare{2, [&](int) {
                         go.wait();
                         prepared = true;
                       }};
  thread_stage use{2, [&](int x) { return prepared ? x : -1; }};
  use.scatter(prepare.scatter(0), 5);
  go.count_down();
  EXPECT_THAT(use.gather(), ElementsAre(5));
}

TEST_F(Future, OutlivesItsStage) {
  future<std::string> kept;
  EXPECT_FALSE(kept.valid());
  {
    thread_stage text{2, [](int x) { return std::to_string(x); }};
    kept = text.scatter(5);
    kept.wait();
  }
  EXPECT_TRUE(kept.ready());
  EXPECT_EQ(kept.get(), "5");
  EXPECT_EQ(std::move(kept).get(), "5");
}

TEST_F(Future, AWaitInsideABodyGivesItsSlotAway) {
  // With one slot, every level waits for the next one of the same stage: it could never run if waiting kept the slot.
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> depth{{.concurrency = 1, .capacity = 1},
                               [&](int left) { return left == 0 ? 0 : 1 + self.load()->scatter(left - 1).get(); }};
  self = &depth;
  auto whole = depth.scatter(100);
  EXPECT_EQ(whole.get(), 100);
}

TEST_F(Future, AWaitInsideABodyNeverLetsTooManyRun) {
  std::atomic<int> inside{0};
  std::atomic<bool> too_many{false};
  auto const enter = [&] {
    if (++inside > 2) too_many = true;
    std::this_thread::yield();
    --inside;
  };
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> tree{{.concurrency = 2, .capacity = 100'000}, [&](int depth) {
                                enter();
                                if (depth == 0) return 1;
                                auto left = self.load()->scatter(depth - 1);
                                auto right = self.load()->scatter(depth - 1);
                                int const leaves = std::move(left).get() + std::move(right).get();
                                enter();
                                return leaves;
                              }};
  self = &tree;
  EXPECT_EQ(std::move(tree.scatter(7)).get(), 128);
  EXPECT_FALSE(too_many);
}

TEST_F(Future, OutcomeGivesValueOrErrorWithoutThrowing) {
  thread_stage half{{.concurrency = 2, .name = "half"}, [](int x) {
                      if (x % 2 != 0) throw std::domain_error{"odd"};
                      return x / 2;
                    }};
  auto good = half.scatter(4).outcome();
  auto bad = half.scatter(5).outcome();
  EXPECT_EQ(*good, 2);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.index(), 1U);
  EXPECT_STREQ(bad.error().what(), "odd");
  EXPECT_THAT(half.gather(), IsEmpty());
}

}  // namespace
