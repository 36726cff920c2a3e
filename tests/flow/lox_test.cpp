// SPDX-License-Identifier: Apache-2.0
// penstock is modelled on the Python library lox. LoxThread, LoxProgress, LoxSerial and LoxChaining ask of it what lox's own
// tests ask of lox, and bear their names; BeyondLox has the cases in which lox hangs, mixes results up or loses them.
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
using penstock::gather_options;
using penstock::progress;
using penstock::thread_stage;
using testing::ElementsAre;
using testing::IsEmpty;

// Twelve of each, as in lox's tests.
constexpr int calls = 12;

int multiply(int x, int y) { return x * y; }

// Makes `calls` calls of a stage of multiply and checks the results and their order.
void expect_twelve_products(thread_stage<int(int, int)>& stage) {
  EXPECT_EQ(stage(2, 5), 10);
  EXPECT_EQ(stage.stats().queued, 0U);
  std::vector<int> expected;
  for (int i = 0; i < calls; ++i) {
    stage.scatter(i + 1, 100 - i);
    expected.push_back((i + 1) * (100 - i));
  }
  EXPECT_EQ(stage.gather(), expected);
  EXPECT_THAT(stage.gather(), IsEmpty());
}

// Expects of the stage that `make` makes of a body to run `limit` bodies at once, and not one more.
template <class Make>
void expect_concurrency(int limit, Make make) {
  std::latch all_in{limit};
  std::latch end{1};
  auto stage = make([&](int x) {
    if (x < limit) all_in.count_down();
    end.wait();
    return x;
  });
  for (int i = 0; i < limit; ++i) stage.scatter(i);
  all_in.wait();
  stage.scatter(limit);
  for (int looks = 0; looks < 200; ++looks) std::this_thread::yield();  // one worker more would have taken it by now
  EXPECT_EQ(stage.stats().running, static_cast<std::size_t>(limit));
  EXPECT_EQ(stage.stats().queued, 1U);
  end.count_down();
  EXPECT_EQ(stage.gather().size(), static_cast<std::size_t>(limit) + 1);
}

TEST(LoxThread, BasicArgsTwelveScattersComeBackInOrder) {
  for (int const workers : {0, 1, 5}) {  // none: serial mode
    thread_stage stage{workers, [](int x, int y) { return x * y; }};
    EXPECT_THAT(stage.gather(), IsEmpty());
    for (int round = 0; round < 2; ++round) expect_twelve_products(stage);
  }
}

TEST(LoxThread, BasicNoargsTheDefaultIsFiftyWorkers) {
  thread_stage stage{[](int x, int y) { return x * y; }};
  expect_twelve_products(stage);
  expect_concurrency(50, [](auto body) { return thread_stage{body}; });
}

// Methods that run on threads; their stages belong to the object.
struct oblong {
  int width;
  thread_stage<int(int)> area{2, [this](int height) { return width * height; }};
  thread_stage<int(int)> edge{2, [this](int height) { return 2 * (width + height); }};
};

TEST(LoxThread, Method1EveryCallSeesItsOwnObject) {
  oblong narrow{2};
  oblong wide{30};
  for (oblong* const each : {&narrow, &wide}) {
    EXPECT_EQ(each->area(5), 5 * each->width);
    EXPECT_EQ(each->edge(5), 2 * (5 + each->width));
  }
  for (int round = 0; round < 2; ++round) {
    for (oblong* const each : {&narrow, &wide}) {
      std::vector<int> areas;
      std::vector<int> edges;
      for (int height = round; height < round + calls; ++height) {
        each->area.scatter(height);
        each->edge.scatter(height);
        areas.push_back(height * each->width);
        edges.push_back(2 * (height + each->width));
      }
      EXPECT_EQ(each->area.gather(), areas);
      EXPECT_EQ(each->edge.gather(), edges);
    }
  }
}

TEST(LoxThread, NonDecoratorAFreeFunctionIsWrapped) {
  thread_stage stage{multiply};
  expect_twelve_products(stage);
  EXPECT_EQ(multiply(2, 5), 10) << "the function itself is what it was";
}

TEST(LoxThread, SpecifyNumWorkersAFreeFunctionIsWrappedWithANumber) {
  thread_stage stage{3, multiply};
  expect_twelve_products(stage);
  expect_concurrency(3, [](auto body) { return thread_stage{3, body}; });
  EXPECT_THROW((thread_stage{-1, multiply}), std::invalid_argument);
}

// --- progress: lox's tqdm ---------------------------------------------------------------------------------------------

// What a progress bar is told in the course of one gather.
struct bar {
  std::vector<progress> seen;

  [[nodiscard]] gather_options options() {
    return {.progress = [this](progress const& now) { seen.push_back(now); }};
  }
  // The first call is made at the start, each one is further than the one before, and the last one has them all.
  void expect_a_whole_round(std::uint64_t total, std::uint64_t failed) const {
    ASSERT_FALSE(seen.empty());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_EQ(seen[i].total, total) << "the bar is made once, with its whole length";
      if (i == 0) continue;
      EXPECT_GT(seen[i].done + seen[i].failed, seen[i - 1].done + seen[i - 1].failed);
      EXPECT_GE(seen[i].done, seen[i - 1].done);
      EXPECT_GE(seen[i].failed, seen[i - 1].failed);
    }
    EXPECT_EQ(seen.back().done, total - failed);
    EXPECT_EQ(seen.back().failed, failed);
  }
};

TEST(LoxProgress, TqdmBoolTheBarIsAsLongAsTheRound) {
  thread_stage stage{5, multiply};
  for (int i = 0; i < calls; ++i) stage.scatter(i, i);
  bar shown;
  EXPECT_EQ(stage.gather(shown.options()).size(), std::size_t{calls});
  shown.expect_a_whole_round(calls, 0);
}

TEST(LoxProgress, TqdmTqdmTheUpdatesSumUpToTwelve) {
  // As lox calls a tqdm object: update(n) adds n.
  std::uint64_t bar_shows = 0;
  auto const update = [&bar_shows](std::uint64_t n) { bar_shows += n; };
  thread_stage stage{5, multiply};
  for (int i = 0; i < calls; ++i) stage.scatter(i, i);
  (void)stage.gather({.progress = [&](progress const& now) { update(now.done + now.failed - bar_shows); }});
  EXPECT_EQ(bar_shows, std::uint64_t{calls});
}

TEST(LoxProgress, ItIsToldWhileItemsStillRun) {
  // The last body ends only when the bar has shown all others: a bar that is told at the end only would wait for ever.
  std::latch shown{1};
  thread_stage stage{2, [&shown](int x) {
                       if (x == calls - 1) shown.wait();
                       return x;
                     }};
  for (int i = 0; i < calls; ++i) stage.scatter(i);
  bool counted = false;
  (void)stage.gather({.progress = [&](progress const& now) {
    if (now.done == calls - 1 && !std::exchange(counted, true)) shown.count_down();
  }});
  EXPECT_TRUE(counted);
}

TEST(LoxProgress, RoundsOfTenFourAndSevenAreEachCountedFromNothing) {
  for (int const workers : {0, 1, 5}) {
    thread_stage stage{workers, [](int x) { return x; }};
    for (int const items : {10, 4, 7}) {
      for (int i = 0; i < items; ++i) stage.scatter(i);
      bar shown;
      EXPECT_EQ(stage.gather(shown.options()).size(), static_cast<std::size_t>(items));
      shown.expect_a_whole_round(static_cast<std::uint64_t>(items), 0);
    }
    bar empty;
    EXPECT_THAT(stage.gather(empty.options()), IsEmpty());
    empty.expect_a_whole_round(0, 0);
  }
}

TEST(LoxProgress, FailuresAreCountedToo) {
  for (int const workers : {0, 5}) {
    thread_stage stage{workers, [](int x) { return x % 2 != 0 ? throw std::domain_error{"odd"} : x; }};
    for (int const items : {10, 4, 7}) {
      for (int i = 0; i < items; ++i) stage.scatter(i);
      bar shown;
      EXPECT_THROW((void)stage.gather(shown.options()), penstock::gather_error<int>);
      shown.expect_a_whole_round(static_cast<std::uint64_t>(items), static_cast<std::uint64_t>(items / 2));
    }
  }
}

TEST(LoxProgress, MethodsAreCountedObjectByObject) {
  oblong narrow{2};
  oblong wide{30};
  for (int i = 0; i < 10; ++i) narrow.area.scatter(i);
  for (int i = 0; i < 4; ++i) wide.area.scatter(i);
  bar narrow_shown;
  bar wide_shown;
  EXPECT_EQ(wide.area.gather(wide_shown.options()).size(), 4U);
  EXPECT_EQ(narrow.area.gather(narrow_shown.options()).size(), 10U);
  narrow_shown.expect_a_whole_round(10, 0);
  wide_shown.expect_a_whole_round(4, 0);
}

TEST(LoxProgress, AnyThreadMayGatherAndIsToldItself) {
  thread_stage stage{3, multiply};
  for (int i = 0; i < calls; ++i) stage.scatter(i, i);
  bar shown;
  std::thread other{[&] {
    auto const me = std::this_thread::get_id();
    auto const told = [&](progress const& now) {
      EXPECT_EQ(std::this_thread::get_id(), me) << "so that a bar needs no lock";
      shown.seen.push_back(now);
    };
    EXPECT_EQ(stage.gather({.progress = told}).size(), std::size_t{calls});
  }};
  other.join();
  shown.expect_a_whole_round(calls, 0);
}

// --- serial mode: lox's thread(0) -------------------------------------------------------------------------------------

TEST(LoxSerial, TheCallerRunsTheTaskInScatter) {
  auto const here = std::this_thread::get_id();
  std::vector<int> order;
  thread_stage stage{0, [&](int x) {
                       EXPECT_EQ(std::this_thread::get_id(), here);
                       order.push_back(x);
                       return 10 * x;
                     }};
  for (int i = 0; i < 3; ++i) {
    auto const result = stage.scatter(i);
    EXPECT_TRUE(result.ready());
    EXPECT_EQ(order.size(), static_cast<std::size_t>(i) + 1) << "it has run before scatter returned";
    EXPECT_EQ(stage.stats().queued, 0U);
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  EXPECT_THAT(stage.gather(), ElementsAre(0, 10, 20));
  EXPECT_THAT(stage.gather(), IsEmpty());
}

TEST(LoxSerial, ATaskThatScattersToItselfDoesNotDeadlock) {
  thread_stage<int(int)>* self = nullptr;
  thread_stage<int(int)> factorial{0, [&self](int n) {
                                     if (n <= 1) return 1;
                                     auto const below = self->scatter(n - 1);
                                     return n * below.get();
                                   }};
  self = &factorial;
  auto const whole = factorial.scatter(5);
  EXPECT_EQ(whole.get(), 120);
  EXPECT_THAT(factorial.gather(), ElementsAre(120, 24, 6, 2, 1)) << "in the order of the scatters";
}

TEST(LoxSerial, TasksOfTwoStagesScatterToEachOther) {
  thread_stage<bool(int)>* is_even = nullptr;
  thread_stage<bool(int)> is_odd{0, [&](int n) { return n != 0 && is_even->scatter(n - 1).get(); }};
  thread_stage<bool(int)> even{0, [&](int n) { return n == 0 || is_odd.scatter(n - 1).get(); }};
  is_even = &even;
  EXPECT_TRUE(even.scatter(10).get());
  EXPECT_FALSE(is_odd.scatter(10).get());
}

TEST(LoxSerial, TwoThreadsAreInTheirTasksAtOnce) {
  // lox holds a lock while a task runs; then the two would never meet.
  std::barrier both{2};
  thread_stage stage{0, [&both](int x) {
                       both.arrive_and_wait();
                       return x;
                     }};
  std::thread other{[&stage] { stage.scatter(1); }};
  stage.scatter(2);
  other.join();
  EXPECT_THAT(stage.gather(), testing::UnorderedElementsAre(1, 2));
}

TEST(LoxSerial, AnExceptionIsTheItemsWhateverIsThrown) {
  thread_stage stage{{.concurrency = 0, .name = "serial"}, [](int x) {
                       if (x == 1) throw std::domain_error{"one"};
                       if (x == 2) throw 2;  // as little an error to C++ as SystemExit is to Python
                       return x;
                     }};
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(stage.scatter(i));
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), 4U);
  EXPECT_THROW((void)outcomes[1].value(), std::domain_error);
  EXPECT_THROW((void)outcomes[2].value(), int);
  EXPECT_EQ(outcomes[3].value(), 3);
  stage.scatter(5);
  EXPECT_THAT(stage.gather(), ElementsAre(5));
}

TEST(LoxSerial, AnExceptionInARecursionFailsAllThatAskedForIt) {
  thread_stage<int(int)>* self = nullptr;
  thread_stage<int(int)> down{0, [&self](int n) {
                                if (n == 0) throw std::domain_error{"the bottom"};
                                auto const below = self->scatter(n - 1);
                                return below.get();
                              }};
  self = &down;
  auto top = down.scatter(3);
  EXPECT_THROW((void)top.get(), std::domain_error);
  auto const outcomes = down.outcomes();
  ASSERT_EQ(outcomes.size(), 4U);
  for (auto const& each : outcomes) EXPECT_THROW((void)each.value(), std::domain_error);
}

TEST(LoxSerial, AChainOfSerialStagesPassesErrorsAndValuesOn) {
  thread_stage first{{.concurrency = 0, .name = "first"}, [](int x) {
                       if (x == 1) throw std::domain_error{"one"};
                       return std::tuple{x, 10 * x};
                     }};
  thread_stage second{{.concurrency = 0, .name = "second"}, [](int x, int y) { return x + y; }};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(second.scatter(first.scatter(i)).ready());
  auto const outcomes = second.outcomes();
  ASSERT_EQ(outcomes.size(), 3U);
  EXPECT_EQ(outcomes[0].value(), 0);
  EXPECT_EQ(outcomes[1].error().kind(), error_kind::upstream);
  EXPECT_EQ(outcomes[1].error().stage(), "first");
  EXPECT_EQ(outcomes[2].value(), 22);
}

// The upstream of the chains: lox's foo.
auto sum_and_product(int workers) {
  return thread_stage{workers, [](int x, int y) { return std::tuple{x + y, x * y}; }};
}

TEST(LoxChaining, Chaining1ATupleIsUnpackedIntoTheNextStage) {
  auto both = sum_and_product(5);
  thread_stage subtract{5, [](int product, int sum) { return product - sum; }};
  for (int round = 0; round < 2; ++round) {
    std::vector<int> expected;
    for (int i = 0; i < calls; ++i) {
      subtract.scatter(both.scatter(i, round + 7));
      expected.push_back((i + round + 7) - i * (round + 7));
    }
    EXPECT_EQ(subtract.gather(), expected);
    EXPECT_THAT(both.gather(), IsEmpty()) << "what was passed on is gathered with the last stage";
  }
}

TEST(LoxChaining, Chaining1_1AScalarIsPassedOn) {
  thread_stage product{5, multiply};
  thread_stage negate{5, [](int x) { return -x; }};
  std::vector<int> expected;
  for (int i = 0; i < calls; ++i) {
    negate.scatter(product.scatter(i, 3));
    expected.push_back(-3 * i);
  }
  EXPECT_EQ(negate.gather(), expected);
}

TEST(LoxChaining, Chaining1_2WithoutUnpackingTheTupleArrivesWhole) {
  auto both = sum_and_product(5);
  thread_stage add{{.concurrency = 5, .unpack = false},
                   [](std::tuple<int, int> const& x) { return std::get<0>(x) + std::get<1>(x); }};
  std::vector<int> expected;
  for (int i = 0; i < calls; ++i) {
    add.scatter(both.scatter(i, 4));
    expected.push_back(i + 4 + i * 4);
  }
  EXPECT_EQ(add.gather(), expected);

  thread_stage two{{.concurrency = 5, .unpack = false}, [](int sum, int product) { return sum + product; }};
  EXPECT_THROW(two.scatter(both.scatter(1, 4)), std::invalid_argument) << "it would have to be unpacked";
}

TEST(LoxChaining, Chaining2AnotherArgumentStandsBehindOrBeforeThePromise) {
  auto both = sum_and_product(5);
  thread_stage behind{5, [](int sum, int product, int z) { return 10'000 * sum + 100 * product + z; }};
  thread_stage before{5, [](int z, int sum, int product) { return 10'000 * sum + 100 * product + z; }};
  std::vector<int> expected;
  for (int i = 0; i < calls; ++i) {
    behind.scatter(both.scatter(i, 2), i + 50);
    before.scatter(i + 50, both.scatter(i, 2));
    expected.push_back(10'000 * (i + 2) + 100 * (i * 2) + i + 50);
  }
  EXPECT_EQ(behind.gather(), expected);
  EXPECT_EQ(before.gather(), expected);
}

// C++ names arguments by designated initialisers.
struct affine {
  int factor = 1;
  int offset = 0;
};

TEST(LoxChaining, Chaining3NamedArgumentsStandBesideThePromise) {
  auto both = sum_and_product(5);
  thread_stage apply{5, [](int sum, int product, affine by) { return (sum + product) * by.factor + by.offset; }};
  std::vector<int> expected;
  for (int i = 0; i < calls; ++i) {
    apply.scatter(both.scatter(i, 2), affine{.offset = i});
    expected.push_back(i + 2 + i * 2 + i);
  }
  EXPECT_EQ(apply.gather(), expected);
}

TEST(LoxChaining, Chaining4OnePromiseFeedsTwoStages) {
  thread_stage product{5, multiply};
  thread_stage negate{5, [](int x) { return -x; }};
  thread_stage text{5, [](int x) { return std::to_string(x); }};
  std::vector<int> numbers;
  std::vector<std::string> texts;
  for (int i = 0; i < calls; ++i) {
    auto const shared = product.scatter(i, 11);
    negate.scatter(shared);
    text.scatter(shared);
    numbers.push_back(-11 * i);
    texts.push_back(std::to_string(11 * i));
  }
  EXPECT_EQ(text.gather(), texts);
  EXPECT_EQ(negate.gather(), numbers);
  EXPECT_THAT(product.gather(), IsEmpty());
}

// --- what lox gets wrong --------------------------------------------------------------------------------------------

TEST(BeyondLox, AnExceptionLosesNobodyAndTheStageWorksOn) {
  thread_stage stage{{.concurrency = 5, .name = "picky"}, [](int x) {
                       if (x == 3 || x == 8) throw std::domain_error{"not " + std::to_string(x)};
                       return 10 * x;
                     }};
  for (int i = 0; i < calls; ++i) stage.scatter(i);
  try {
    (void)stage.gather();
    FAIL() << "gather did not throw";
  } catch (penstock::gather_error<int>& error) {
    auto const outcomes = error.take_outcomes();
    ASSERT_EQ(outcomes.size(), std::size_t{calls});
    for (int i = 0; i < calls; ++i) {
      auto const& each = outcomes[static_cast<std::size_t>(i)];
      if (i == 3 || i == 8) {
        ASSERT_FALSE(each) << i;
        EXPECT_EQ(each.error().what(), "not " + std::to_string(i));
      } else {
        ASSERT_TRUE(each) << i;
        EXPECT_EQ(*each, 10 * i);
      }
    }
  }
  stage.scatter(4);
  EXPECT_THAT(stage.gather(), ElementsAre(40)) << "neither the old error nor an old result comes back";
}

TEST(BeyondLox, AFailedPromiseFeedsNothingToTheNextStage) {
  std::atomic<int> runs{0};
  thread_stage fail_first{{.concurrency = 2, .name = "first"}, [](int x) {
                            if (x == 0) throw std::domain_error{"zero"};
                            return x;
                          }};
  thread_stage next{2, [&runs](int x) {
                      ++runs;
                      return x;
                    }};
  next.scatter(fail_first.scatter(0));
  next.scatter(fail_first.scatter(5));
  auto const outcomes = next.outcomes();
  ASSERT_EQ(outcomes.size(), 2U);
  ASSERT_FALSE(outcomes[0]);
  EXPECT_EQ(outcomes[0].error().kind(), error_kind::upstream);
  EXPECT_EQ(outcomes[0].error().stage(), "first");
  ASSERT_TRUE(outcomes[1]);
  EXPECT_EQ(*outcomes[1], 5);
  EXPECT_EQ(runs, 1);
}

TEST(BeyondLox, TwoObjectsDoNotMixTheirResults) {
  oblong narrow{2};
  oblong wide{30};
  for (int height = 0; height < calls; ++height) {  // in turns, and gathered in the other order
    narrow.area.scatter(height);
    wide.area.scatter(height);
  }
  auto const wide_areas = wide.area.gather();
  auto const narrow_areas = narrow.area.gather();
  ASSERT_EQ(wide_areas.size(), std::size_t{calls});
  ASSERT_EQ(narrow_areas.size(), std::size_t{calls});
  for (int height = 0; height < calls; ++height) {
    EXPECT_EQ(wide_areas[static_cast<std::size_t>(height)], 30 * height);
    EXPECT_EQ(narrow_areas[static_cast<std::size_t>(height)], 2 * height);
  }
}

TEST(BeyondLox, ATaskScattersIntoItsOwnStage) {
  // The smallest stage there is: one worker, which is busy with the caller, and no room.
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> countdown{{.concurrency = 1, .capacity = 1}, [&self](int x) {
                                     if (x > 0) self.load()->scatter(x - 1);
                                     return x;
                                   }};
  self = &countdown;
  countdown.scatter(20);
  std::vector<int> all;
  // A gather covers what was scattered before it; by its end, what its tasks have scattered is there for the next.
  for (auto part = countdown.gather(); !part.empty(); part = countdown.gather()) {
    all.insert(all.end(), part.begin(), part.end());
  }
  std::vector<int> expected(21);
  std::iota(expected.rbegin(), expected.rend(), 0);
  EXPECT_EQ(all, expected);
}

TEST(BeyondLox, TasksThatFillThePoolWaitForTasksOfTheSamePool) {
  constexpr int workers = 4;
  std::latch pool_full{workers};
  std::atomic<thread_stage<int(int)>*> self{nullptr};
  thread_stage<int(int)> stage{workers, [&](int x) {
                                 if (x < 100) return x;
                                 pool_full.arrive_and_wait();
                                 return self.load()->scatter(x - 100).get() + 1;
                               }};
  self = &stage;
  std::vector<future<int>> outer;
  for (int i = 0; i < workers; ++i) outer.push_back(stage.scatter(100 + i));
  for (int i = 0; i < workers; ++i) EXPECT_EQ(outer[static_cast<std::size_t>(i)].get(), i + 1);
}

TEST(BeyondLox, AnUnfinishedPromiseHoldsNoWorker) {
  std::latch go{1};
  thread_stage slow{1, [&go](int x) {
                      go.wait();
                      return x;
                    }};
  thread_stage next{1, [](int x) { return 10 * x; }};
  auto const late = next.scatter(slow.scatter(1));
  auto const early = next.scatter(2);
  EXPECT_EQ(early.get(), 20) << "the only worker of the stage is free for what can run";
  EXPECT_FALSE(late.ready());
  go.count_down();
  EXPECT_THAT(next.gather(), ElementsAre(10, 20)) << "and the order is that of the scatters all the same";
}

// Promises of the numbers 0 to 5.
std::vector<future<int>> six_promises(thread_stage<int(int)>& stage) {
  std::vector<future<int>> promises;
  for (int i = 0; i < 6; ++i) promises.push_back(stage.scatter(i));
  return promises;
}

int same(int x) { return x; }
int tenfold(int x) { return 10 * x; }

TEST(BeyondLox, APromiseSubsetIsPairedByIdentity) {
  thread_stage number{2, same};
  thread_stage next{2, tenfold};
  auto const promises = six_promises(number);
  for (std::size_t i : {1U, 3U, 5U}) next.scatter(promises[i]);
  EXPECT_THAT(next.gather(), ElementsAre(10, 30, 50));
  EXPECT_THAT(number.gather(), ElementsAre(0, 2, 4)) << "the others are still the first stage's to gather";
}

TEST(BeyondLox, PromisesReversedGiveResultsReversed) {
  thread_stage number{2, same};
  thread_stage next{2, tenfold};
  auto promises = six_promises(number);
  for (; !promises.empty(); promises.pop_back()) next.scatter(promises.back());
  EXPECT_THAT(next.gather(), ElementsAre(50, 40, 30, 20, 10, 0));
}

TEST(BeyondLox, PromisesMixWithValuesAndDirectCalls) {
  thread_stage number{2, same};
  thread_stage next{2, tenfold};
  auto const promises = six_promises(number);
  next.scatter(promises[4]);
  next.scatter(7);
  EXPECT_EQ(next(8), 80);
  next.scatter(promises[0]);
  EXPECT_EQ(number(9), 9);
  next.scatter(6);
  EXPECT_THAT(next.gather(), ElementsAre(40, 70, 0, 60)) << "a direct call is no item";
}

TEST(BeyondLox, TwoUpstreamsFeedOneStage) {
  thread_stage number{2, same};
  thread_stage negative{2, [](int x) { return -x; }};
  thread_stage next{2, tenfold};
  for (int i = 1; i <= 3; ++i) {
    next.scatter(number.scatter(i));
    next.scatter(negative.scatter(i));
  }
  EXPECT_THAT(next.gather(), ElementsAre(10, -10, 20, -20, 30, -30));
}

TEST(BeyondLox, OneCallTakesTwoPromises) {
  thread_stage number{2, same};
  thread_stage negative{2, [](int x) { return -x; }};
  thread_stage digits{2, [](int a, int between, int b) { return 100 * a + 10 * between + b; }};
  auto const promises = six_promises(number);
  digits.scatter(promises[0], 0, promises[5]);  // the very first promise too
  digits.scatter(promises[4], 3, promises[4]);
  digits.scatter(negative.scatter(-7), 1, promises[2]);
  EXPECT_THAT(digits.gather(), ElementsAre(5, 434, 712));
}

TEST(BeyondLox, NestedPromisesArriveAsTheirValues) {
  thread_stage number{2, same};
  thread_stage list{2, [](std::vector<int> const& all, std::string const& heading) {
                      std::string text = heading;
                      for (int each : all) text += " " + std::to_string(each);
                      return text;
                    }};
  auto promises = six_promises(number);
  std::swap(promises.front(), promises.back());
  list.scatter(std::move(promises), "mixed:");
  list.scatter(std::vector<future<int>>{}, "none:");
  EXPECT_THAT(list.gather(), ElementsAre("mixed: 5 1 2 3 4 0", "none:"));
  EXPECT_THAT(number.gather(), IsEmpty());
}

TEST(BeyondLox, OneCallOfTwoPromisesOfWhichOneFailsFailsAlone) {
  thread_stage number{{.concurrency = 2, .name = "number"},
                      [](int x) { return x < 0 ? throw std::domain_error{"negative"} : x; }};
  thread_stage add{2, [](int a, int b) { return a + b; }};
  auto const good = number.scatter(1);
  auto const bad = number.scatter(-1);
  add.scatter(good, bad);
  add.scatter(good, good);
  auto const outcomes = add.outcomes();
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].error().index(), 1U) << "the index of the origin, in its own stage";
  EXPECT_EQ(outcomes[1].value(), 2);
}

TEST(BeyondLox, APromiseGatheredBeforeIsRefusedRatherThanMispaired) {
  thread_stage number{2, same};
  thread_stage next{2, tenfold};
  auto const promises = six_promises(number);
  EXPECT_THAT(number.gather(), ElementsAre(0, 1, 2, 3, 4, 5));
  auto const fresh = number.scatter(7);
  EXPECT_THROW(next.scatter(promises[0]), penstock::already_gathered) << "item 0 of the last round, not of this one";
  next.scatter(fresh);
  EXPECT_THAT(next.gather(), ElementsAre(70));
}

TEST(BeyondLox, TasksScatteredDuringAGatherAreInTheNextOne) {
  std::latch gathering{1};
  thread_stage next{2, same};
  thread_stage first{2, [&](int x) {
                       gathering.wait();
                       next.scatter(x + 100);
                       return x;
                     }};
  next.scatter(1);
  first.scatter(2);
  EXPECT_THAT(next.gather({.progress =
                               [&](progress const& now) {
                                 EXPECT_EQ(now.total, 1U);
                                 if (!gathering.try_wait()) gathering.count_down();
                               }}),
              ElementsAre(1));
  EXPECT_THAT(first.gather(), ElementsAre(2));
  EXPECT_THAT(next.gather(), ElementsAre(102));
}

// lox's interpreter runs the whole queue before it ends, and after Ctrl-C too.
TEST(BeyondLox, CtrlCDropsTheQueue) {
  std::latch entered{1};
  std::latch go{1};
  std::atomic<int> runs{0};
  thread_stage stage{1, [&](int x) {
                       ++runs;
                       entered.count_down();
                       go.wait();
                       return x;
                     }};
  for (int i = 0; i < calls; ++i) stage.scatter(i);
  entered.wait();
  stage.cancel();
  go.count_down();
  auto const outcomes = stage.outcomes();
  ASSERT_EQ(outcomes.size(), std::size_t{calls});
  EXPECT_EQ(outcomes[0].value(), 0) << "what runs is finished";
  for (int i = 1; i < calls; ++i) {
    EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].error().kind(), error_kind::cancelled);
  }
  EXPECT_EQ(runs, 1);
}

TEST(BeyondLox, LeavingDropsTheQueue) {
  std::latch entered{1};
  std::latch go{1};
  std::atomic<int> runs{0};
  std::vector<future<int>> promises;
  std::optional<thread_stage<int(int)>> stage;
  stage.emplace(1, [&](int x) {
    ++runs;
    entered.count_down();
    go.wait();
    return x;
  });
  for (int i = 0; i < calls; ++i) promises.push_back(stage->scatter(i));
  entered.wait();
  std::thread leave{[&stage] { stage.reset(); }};
  promises.back().wait();  // the queue has ended, while the first is still running
  go.count_down();
  leave.join();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(promises.front().get(), 0);
}

TEST(BeyondLox, TwentyThousandRoundsOfTinyGathersNeverHang) {
  // A worker that goes to sleep just when an item comes must not miss it; nor must the next stage's.
  thread_stage number{2, same};
  thread_stage next{2, tenfold};
  for (int round = 0; round < 20'000; ++round) {
    next.scatter(number.scatter(round));
    if (round % 2 == 0) next.scatter(number.scatter(-round));
    auto const results = next.gather();
    ASSERT_EQ(results.size(), round % 2 == 0 ? 2U : 1U);
    ASSERT_EQ(results.front(), 10 * round);
    ASSERT_EQ(results.back(), round % 2 == 0 ? -10 * round : 10 * round);
  }
}

}  // namespace
