// SPDX-License-Identifier: Apache-2.0
// penstock is modelled on the Python library lox. LoxThread and LoxChaining ask of it what lox's own tests ask of lox,
// and bear their names; BeyondLox has the cases in which lox hangs, mixes results up or loses them.
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <latch>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using penstock::error_kind;
using penstock::future;
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
  for (int const workers : {1, 5}) {
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
