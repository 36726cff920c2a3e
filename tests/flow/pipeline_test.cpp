// SPDX-License-Identifier: Apache-2.0
#include <penstock/pipeline.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using penstock::error_kind;
using penstock::pipeline;
using penstock::thread_stage;
using testing::ElementsAre;

// Waits for what other threads bring about.
void until(std::function<bool()> const& holds) {
  while (!holds()) std::this_thread::yield();
}

// A door that bodies stand at until it is opened.
class door {
 public:
  void pass() {
    ++waiting_;
    open_.wait(false);
  }
  void open() {
    open_ = true;
    open_.notify_all();
  }
  [[nodiscard]] int waiting() const { return waiting_; }  // have come so far

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> waiting_{0};
};

struct expected_stats {
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t retried = 0;
  std::uint64_t dropped = 0;
};
void expect_stats(penstock::stage_stats const& now, expected_stats const& expected) {
  EXPECT_EQ(now.queued, expected.queued);
  EXPECT_EQ(now.running, expected.running);
  EXPECT_EQ(now.done, expected.done);
  EXPECT_EQ(now.failed, expected.failed);
  EXPECT_EQ(now.retried, expected.retried);
  EXPECT_EQ(now.dropped, expected.dropped);
}

std::vector<error_kind> kinds_of(auto const& outcomes) {
  std::vector<error_kind> kinds;
  for (auto const& each : outcomes) {
    if (!each) kinds.push_back(each.error().kind());
  }
  return kinds;
}

int twice(int x) { return 2 * x; }
int plus_one(int x) { return x + 1; }

// ---- values

TEST(Pipeline, GathersTheLastStagesResultsInOrder) {
  thread_stage a{twice};
  thread_stage b{plus_one};
  thread_stage c{[](int x) { return std::to_string(x); }};
  pipeline<std::string(int)> chain = a | b | c;
  for (int i = 0; i < 1000; ++i) chain.scatter(i);
  auto const results = chain.gather();
  ASSERT_EQ(results.size(), 1000U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], std::to_string(2 * i + 1));
  EXPECT_TRUE(chain.gather().empty());
  EXPECT_TRUE(a.gather().empty());  // its own items only
}

TEST(Pipeline, LeavesItsPartsUsable) {
  thread_stage a{twice};
  thread_stage b{plus_one};
  auto const two = a | b;
  auto three = two | a;
  auto chain = a | b;
  a.scatter(10);
  b.scatter(20);
  chain.scatter(1);
  three.scatter(3);
  EXPECT_THAT(a.gather(), ElementsAre(20));
  EXPECT_THAT(b.gather(), ElementsAre(21));
  EXPECT_THAT(chain.gather(), ElementsAre(3));
  EXPECT_THAT(three.gather(), ElementsAre(14));
  EXPECT_EQ(three(3), 14);
}

TEST(Pipeline, MovesResultsFromStageToStage) {
  struct counted {
    explicit counted(int n) : number{n} {}
    counted(counted const& other) : number{other.number}, copies{other.copies + 1} {}
    counted(counted&&) = default;
    counted& operator=(counted const&) = delete;
    counted& operator=(counted&&) = delete;
    ~counted() = default;
    int number;
    int copies = 0;
    std::array<char, 300> ballast{};
  };
  thread_stage a{[](int x) { return std::make_unique<int>(x); }};
  thread_stage b{[](std::unique_ptr<int> x) { return counted{*x}; }};
  thread_stage c{[](counted x) { return x; }};
  thread_stage d{[](counted const& x) { return std::make_unique<int>(10 * x.number + x.copies); }};
  auto chain = a | b | c | d;
  for (int i = 0; i < 100; ++i) chain.scatter(i);
  auto const results = chain.gather();
  ASSERT_EQ(results.size(), 100U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(*results[i], static_cast<int>(10 * i));
}

TEST(Pipeline, UnpacksTuplesAsTheNextStageWishes) {
  using pair = std::tuple<int, std::unique_ptr<int>>;
  auto const split = [](int x) { return pair{x, std::make_unique<int>(x + 1)}; };
  auto const add = [](int x, std::unique_ptr<int> y) { return x + *y; };
  thread_stage a{split};
  thread_stage apart{add};
  thread_stage whole{{.unpack = false}, [](pair both) { return std::get<0>(both) * *std::get<1>(both); }};
  thread_stage refuses{{.name = "refuses", .unpack = false}, add};
  auto sums = a | apart;
  auto products = a | whole;
  for (int i = 1; i < 4; ++i) {
    sums.scatter(i);
    products.scatter(i);
  }
  EXPECT_THAT(sums.gather(), ElementsAre(3, 5, 7));
  EXPECT_THAT(products.gather(), ElementsAre(2, 6, 12));
  EXPECT_THROW((void)(a | refuses), std::invalid_argument);
}

TEST(Pipeline, GoesOnWithoutAValueBehindVoid) {
  std::atomic<int> sum{0};
  thread_stage a{[&](int x) { sum += x; }};
  thread_stage b{[] { return 7; }};
  thread_stage c{[&](int x) { sum += x; }};
  auto chain = a | b | c;
  chain.scatter(1);
  chain.scatter(2);
  chain.gather();
  EXPECT_EQ(sum, 17);
  EXPECT_TRUE(chain.gather_for(1h));
}

TEST(Pipeline, MayStartWithoutArguments) {
  thread_stage a{[] { return std::tuple<>{}; }};
  thread_stage b{[] { return 7; }};
  auto chain = a | b;
  thread_stage done{[](int) {}};
  chain.scatter();
  chain.scatter(done.scatter(1));
  EXPECT_THAT(chain.gather(), ElementsAre(7, 7));
  EXPECT_EQ(chain(), 7);
}

TEST(Pipeline, TakesAndGivesFutures) {
  thread_stage source{twice};
  thread_stage a{
      [](int x, std::vector<int> const& more, int last) { return x + static_cast<int>(more.size()) + last; }};
  thread_stage b{plus_one};
  thread_stage next{[](int x, int y) { return 100 * x + y; }};
  auto chain = a | b;
  std::vector<penstock::future<int>> some;
  for (int i = 0; i < 3; ++i) some.push_back(source.scatter(i));
  auto first = chain.scatter(source.scatter(5), std::move(some), 4);  // 10 + 3 + 4 + 1
  next.scatter(first, chain.scatter(first, std::vector<penstock::future<int>>{}, 0));
  EXPECT_THAT(next.gather(), ElementsAre(1819));
  EXPECT_TRUE(chain.gather().empty());  // they went into `next`
}

TEST(Pipeline, ScattersRangesAndPairs) {
  thread_stage add{{.capacity = 10}, [](int x, int y) { return x + y; }};
  thread_stage b{{.concurrency = 2, .capacity = 3}, twice};
  auto chain = add | b;
  std::vector<std::tuple<int, int>> pairs;
  for (int i = 0; i < 2000; ++i) pairs.emplace_back(i, i);
  chain.scatter_many(pairs);
  auto const results = chain.gather();
  ASSERT_EQ(results.size(), 2000U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], static_cast<int>(4 * i));
}

TEST(Pipeline, IsAFunctionToo) {
  thread_stage a{[](int x) { return x % 2 == 0 ? std::optional{std::make_unique<int>(x)} : std::nullopt; }};
  thread_stage b{[](std::unique_ptr<int> x) { return *x; }};
  thread_stage c{[](int x) { return x < 10 ? std::optional{x} : std::nullopt; }};
  auto two = a | b;
  auto three = two | c;
  EXPECT_EQ(two(4), 4);
  EXPECT_THROW(two(5), penstock::stage_error);
  EXPECT_EQ(three(4), 4);
  EXPECT_EQ(three(5), std::nullopt);
  EXPECT_EQ(three(14), std::nullopt);
  expect_stats(three.stats(), {});
}

// ---- errors, drops, attempts

TEST(Pipeline, ErrorsNameTheStageThatThrewAndTheItem) {
  thread_stage a{{.name = "load"}, [](int x) { return x == 1 ? throw std::runtime_error{"no file"} : x; }};
  thread_stage b{{.name = "scale"}, [](int x) { return x == 3 ? throw std::logic_error{"too wide"} : x; }};
  thread_stage c{twice};
  auto chain = a | b | c;
  b.scatter(0).wait();  // so that b counts from elsewhere
  for (int i = 0; i < 5; ++i) chain.scatter(i);
  auto const outcomes = chain.outcomes();
  ASSERT_EQ(outcomes.size(), 5U);
  EXPECT_EQ(*outcomes[4], 8);
  EXPECT_EQ(outcomes[1].error().stage(), "load");
  EXPECT_EQ(outcomes[1].error().index(), 1U);
  EXPECT_STREQ(outcomes[3].error().what(), "too wide");
  EXPECT_EQ(outcomes[3].error().stage(), "scale");
  EXPECT_EQ(outcomes[3].error().index(), 3U);
  EXPECT_EQ(outcomes[3].error().kind(), error_kind::exception);
  EXPECT_THROW(outcomes[3].value(), std::logic_error);
  expect_stats(a.stats(), {.done = 4, .failed = 1});
  expect_stats(b.stats(), {.done = 4, .failed = 1});
  expect_stats(c.stats(), {.done = 3});
  expect_stats(chain.stats(), {.done = 3, .failed = 2});
}

TEST(Pipeline, FailedInputsFailTheItem) {
  thread_stage bad{{.name = "bad"}, [](int) -> int { throw std::runtime_error{"bad"}; }};
  thread_stage a{twice};
  thread_stage b{twice};
  auto chain = a | b;
  chain.scatter(bad.scatter(1));
  auto const outcomes = chain.outcomes();
  EXPECT_EQ(outcomes.at(0).error().kind(), error_kind::upstream);
  EXPECT_EQ(outcomes.at(0).error().stage(), "bad");
  expect_stats(a.stats(), {.failed = 1});
  expect_stats(b.stats(), {});
}

TEST(Pipeline, DropsItemsWhereABodyDoes) {
  thread_stage a{[](int x) { return x % 2 == 0 ? std::optional{x} : std::nullopt; }};
  thread_stage b{twice};
  thread_stage c{[](int x) { return x % 3 == 0 ? std::optional{x} : std::nullopt; }};
  auto chain = a | b | c;
  for (int i = 0; i < 12; ++i) chain.scatter(i);
  EXPECT_THAT(chain.gather(), ElementsAre(0, 12));
  expect_stats(a.stats(), {.done = 6, .dropped = 6});
  expect_stats(b.stats(), {.done = 6});
  expect_stats(c.stats(), {.done = 2, .dropped = 4});
  expect_stats(chain.stats(), {.done = 2, .dropped = 10});
  thread_stage after{twice};
  after.scatter(chain.scatter(1));
  EXPECT_EQ(kinds_of(after.outcomes()), std::vector{error_kind::dropped});
}

TEST(Pipeline, EachStageHasItsOwnAttempts) {
  for (auto const backoff : {0ms, 1ms}) {
    std::atomic<int> calls{0};
    thread_stage a{
        [](int x) { return std::tuple{std::string(100, 'x') + std::to_string(x), std::make_unique<int>(x)}; }};
    thread_stage b{{.attempts = 3, .backoff = backoff}, [&calls](std::string text, std::unique_ptr<int>& x) {
                     EXPECT_EQ(text, std::string(100, 'x') + std::to_string(*x));
                     text.clear();
                     if (++calls % 3 != 0) throw std::runtime_error{"not yet"};
                     return std::move(x);
                   }};
    thread_stage c{[](std::unique_ptr<int> x) { return *x; }};
    auto chain = a | b | c;
    chain.scatter(1);
    EXPECT_THAT(chain.gather(), ElementsAre(1));
    chain.scatter(2);
    EXPECT_THAT(chain.gather(), ElementsAre(2));
    EXPECT_EQ(calls, 6);
    expect_stats(b.stats(), {.done = 2, .retried = 4});
    expect_stats(chain.stats(), {.done = 2, .retried = 4});
  }
  thread_stage a{twice};
  thread_stage fails{{.attempts = 4}, [](int) -> int { throw std::runtime_error{"never"}; }};
  auto chain = a | fails;
  chain.scatter(1);
  EXPECT_EQ(chain.outcomes().at(0).error().attempts(), 4);
}

TEST(Pipeline, RefusesAttemptsThatCannotBeKept) {
  using pair = std::tuple<int, std::unique_ptr<int>>;
  thread_stage a{[](int x) { return pair{x, nullptr}; }};
  thread_stage refers{{.attempts = 2}, [](int, std::unique_ptr<int> const&) {}};
  thread_stage<void(std::shared_ptr<int>)> converts{{.attempts = 2}, [](std::shared_ptr<int> const&) {}};
  thread_stage pointer{[](int x) { return std::make_unique<int>(x); }};
  (void)(a | refers);
  EXPECT_THROW((void)(pointer | converts), std::invalid_argument);
}

TEST(Pipeline, MaxErrorsStopsTheStageThatHasThem) {
  thread_stage a{{.concurrency = 1}, twice};
  thread_stage b{{.concurrency = 1, .name = "b", .max_errors = 2},
                 [](int x) -> int { throw std::runtime_error{std::to_string(x)}; }};
  auto chain = a | b;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 10; ++i) chain.scatter(i);
    auto const kinds = kinds_of(chain.outcomes());
    EXPECT_EQ(kinds.size(), 10U);
    EXPECT_EQ(std::ranges::count(kinds, error_kind::exception), 2);
    EXPECT_EQ(std::ranges::count(kinds, error_kind::cancelled), 8);
  }
  expect_stats(a.stats(), {.done = 20});
  expect_stats(b.stats(), {.failed = 20});
}

TEST(Pipeline, DiscardsAsItsLastStageDoes) {
  thread_stage a{{.discard_results = true}, twice};
  thread_stage b{[](int x) { return x; }};
  thread_stage c{{.discard_results = true}, [](int x) { return x == 4 ? throw std::runtime_error{"four"} : x; }};
  auto kept = a | b;
  auto discarded = a | c;
  for (int i = 0; i < 4; ++i) {
    kept.scatter(i);
    discarded.scatter(i);
  }
  EXPECT_THAT(kept.gather(), ElementsAre(0, 2, 4, 6));
  auto const outcomes = discarded.outcomes();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].index(), 2U);
}

// ---- concurrency and room

// Counts how many are inside at once.
class head_count {
 public:
  void enter() {
    int const now = ++inside_;
    int seen = most_;
    while (now > seen && !most_.compare_exchange_weak(seen, now)) continue;
  }
  void leave() { --inside_; }
  [[nodiscard]] int most() const { return most_; }

 private:
  std::atomic<int> inside_{0};
  std::atomic<int> most_{0};
};

TEST(Pipeline, SharesTheStagesConcurrencyWithAllOthers) {
  constexpr int at_once = 3;
  head_count bodies;
  std::barrier together{at_once};
  thread_stage a{8, twice};
  thread_stage other{8, plus_one};
  thread_stage b{at_once, [&](int x) {
                   bodies.enter();
                   together.arrive_and_wait();  // as many as that are in here, or none comes out
                   std::this_thread::yield();
                   bodies.leave();
                   return x;
                 }};
  auto one = a | b;
  auto two = other | b | a;
  constexpr int each = 40;
  for (int i = 0; i < each; ++i) {
    one.scatter(i);
    two.scatter(i);
    b.scatter(i);
  }
  EXPECT_EQ(one.gather().size(), static_cast<std::size_t>(each));
  EXPECT_EQ(two.gather().size(), static_cast<std::size_t>(each));
  EXPECT_EQ(b.gather().size(), static_cast<std::size_t>(each));
  EXPECT_EQ(bodies.most(), at_once);
  expect_stats(b.stats(), {.done = 3 * each});
}

TEST(Pipeline, ABodyThatBlocksHoldsNoSlotOfTheStageBefore) {
  door inside;
  std::atomic<int> in_a{0};
  thread_stage a{1, [&](int x) {
                   ++in_a;
                   return x;
                 }};
  thread_stage b{3, [&](int x) {
                   inside.pass();
                   return x;
                 }};
  auto chain = a | b;
  for (int i = 0; i < 100; ++i) chain.scatter(i);
  until([&] { return in_a == 100 && a.stats().done == 100 && inside.waiting() == 3; });
  expect_stats(a.stats(), {.done = 100});
  expect_stats(b.stats(), {.queued = 97, .running = 3});
  expect_stats(chain.stats(), {.queued = 97, .running = 3});
  inside.open();
  EXPECT_EQ(chain.gather().size(), 100U);
  expect_stats(b.stats(), {.done = 100});
}

// The same when the bodies of b have turned out to be short, and the runner means to come back soon.
TEST(Pipeline, ABodyThatBlocksAfterManyShortOnesHoldsNothingUp) {
  door inside;
  std::atomic<int> in_a{0};
  thread_stage a{1, [&](int x) {
                   ++in_a;
                   return x;
                 }};
  thread_stage b{4, [&](int x) {
                   if (x < 0) inside.pass();
                   return x;
                 }};
  auto chain = a | b;
  for (int i = 0; i < 2000; ++i) chain.scatter(i);
  EXPECT_EQ(chain.gather().size(), 2000U);
  for (int i = 0; i < 4; ++i) chain.scatter(-1);
  until([&] { return in_a == 2004 && inside.waiting() == 4; });
  inside.open();
  EXPECT_EQ(chain.gather().size(), 4U);
}

TEST(Pipeline, ItemsWithoutRoomWaitInFrontAndHoldTheProducer) {
  door inside;
  std::mutex mutex;
  std::vector<int> order;
  std::atomic<int> in_a{0};
  thread_stage a{{.concurrency = 1, .capacity = 3}, [&](int x) {
                   ++in_a;
                   return x;
                 }};
  thread_stage b{{.concurrency = 1, .capacity = 2}, [&](int x) {
                   inside.pass();
                   std::lock_guard const lock{mutex};
                   order.push_back(x);
                   return x;
                 }};
  auto chain = a | b;
  for (int i = 0; i < 5; ++i) chain.scatter(i);
  until([&] { return in_a == 5 && a.stats().running == 0 && inside.waiting() == 1; });
  expect_stats(a.stats(), {.queued = 3, .done = 2});
  expect_stats(b.stats(), {.queued = 1, .running = 1});
  EXPECT_FALSE(chain.try_scatter(9));
  EXPECT_FALSE(a.try_scatter(9));
  EXPECT_FALSE(b.try_scatter(9));
  std::thread producer{[&] { chain.scatter(5); }};
  inside.open();
  producer.join();
  EXPECT_EQ(chain.gather().size(), 6U);
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
  expect_stats(a.stats(), {.done = 6});
  expect_stats(b.stats(), {.done = 6});
  EXPECT_TRUE(chain.try_scatter(9));
}

TEST(Pipeline, OwnItemsOfTheNextStageTakeItsRoomToo) {
  door inside;
  std::atomic<bool> in_a{false};
  thread_stage a{{.concurrency = 1}, [&](int x) {
                   in_a = true;
                   return 2 * x;
                 }};
  thread_stage b{{.concurrency = 1, .capacity = 1}, [&](int x) {
                   inside.pass();
                   return x;
                 }};
  auto chain = a | b;
  b.scatter(1);
  until([&] { return inside.waiting() == 1; });
  chain.scatter(2);
  until([&] { return in_a && a.stats().running == 0; });
  expect_stats(a.stats(), {.queued = 1});
  expect_stats(b.stats(), {.running = 1});
  inside.open();
  EXPECT_THAT(chain.gather(), ElementsAre(4));
}

// ---- what could wait for itself

TEST(Pipeline, ABodyMayWaitForAnItemThatNeedsItsRoom) {
  thread_stage a{{.concurrency = 1, .capacity = 1}, twice};
  pipeline<int(int)>* through = nullptr;
  thread_stage b{{.concurrency = 1, .capacity = 1},
                 [&](int x) { return x < 100 ? through->scatter(100 + x).get() : x; }};
  auto chain = a | b;
  through = &chain;
  for (int i = 0; i < 10; ++i) b.scatter(i);
  EXPECT_EQ(b.gather().size(), 10U);
}

TEST(Pipeline, AnItemOfAStageMayWaitForOneThatNeedsItsRoom) {
  thread_stage a{{.concurrency = 1, .capacity = 4}, twice};
  thread_stage b{{.concurrency = 1, .capacity = 1}, plus_one};
  thread_stage between{twice};
  auto chain = a | b;
  for (int i = 0; i < 20; ++i) b.scatter(between.scatter(chain.scatter(i)));
  EXPECT_EQ(b.gather().size(), 20U);
}

TEST(Pipeline, PipelinesMayMeetInOppositeOrders) {
  thread_stage a{{.concurrency = 1, .capacity = 1}, twice};
  thread_stage b{{.concurrency = 1, .capacity = 1}, plus_one};
  auto there = a | b;
  auto back = b | a;
  auto round = a | a | b | a;
  std::thread first{[&] {
    for (int i = 0; i < 300; ++i) there.scatter(i);
  }};
  std::thread second{[&] {
    for (int i = 0; i < 300; ++i) back.scatter(i);
  }};
  for (int i = 0; i < 300; ++i) round.scatter(i);
  first.join();
  second.join();
  EXPECT_EQ(there.gather().size(), 300U);
  EXPECT_EQ(back.gather().size(), 300U);
  auto const results = round.gather();
  ASSERT_EQ(results.size(), 300U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], static_cast<int>(8 * i + 2));
}

TEST(Pipeline, GatherInABodyOfAStageWouldDeadlock) {
  pipeline<int(int)>* through = nullptr;
  auto const body = [&](int x) {
    if (x == 1) (void)through->gather();
    return x;
  };
  thread_stage a{body};
  thread_stage b{[](int x) { return x; }};
  thread_stage c{body};
  auto chain = a | b | c;
  through = &chain;
  EXPECT_THROW((void)chain.scatter(1).get(), penstock::would_deadlock);
  EXPECT_THROW((void)c.scatter(1).get(), penstock::would_deadlock);
  EXPECT_EQ(chain.scatter(2).get(), 2);
}

// ---- cancel, close, the end

// a lets all through, b has one item in its body, one in its queue, and the rest in front of it.
struct full_chain {
  door inside;
  std::atomic<bool> told_to_stop{false};
  std::atomic<int> in_a{0};
  thread_stage<int(int)> a{{.concurrency = 1, .name = "a"}, [this](int x) {
                             ++in_a;
                             return x;
                           }};
  thread_stage<int(int)> b{{.concurrency = 1, .capacity = 2, .name = "b"}, [this](std::stop_token const& stop, int x) {
                             inside.pass();
                             told_to_stop = stop.stop_requested();
                             return x;
                           }};
  thread_stage<int(int)> c{{.name = "c"}, [](int x) { return x; }};

  void fill(auto& chain) {
    for (int i = 0; i < 5; ++i) chain.scatter(i);
    until_left_a(5);
    until([&] { return inside.waiting() == 1; });
  }
  // The bodies of that many have run in a.
  void until_left_a(int items) {
    until([&] { return in_a == items && a.stats().running == 0; });
  }
};

TEST(Pipeline, CancelOfAStageEndsWhatWaitsThere) {
  full_chain parts;
  auto chain = parts.a | parts.b | parts.c;
  parts.fill(chain);
  parts.b.cancel();
  until([&] { return chain.stats().failed == 4; });
  expect_stats(parts.a.stats(), {.done = 5});
  expect_stats(parts.b.stats(), {.running = 1, .failed = 4});
  chain.scatter(5);  // arrives there, and ends too
  until([&] { return chain.stats().failed == 5; });
  parts.inside.open();
  auto const outcomes = chain.outcomes();
  ASSERT_EQ(outcomes.size(), 6U);
  EXPECT_TRUE(parts.told_to_stop);
  EXPECT_EQ(outcomes[0].value(), 0);
  for (std::size_t i = 1; i < 6; ++i) {
    EXPECT_EQ(outcomes[i].error().kind(), error_kind::cancelled);
    EXPECT_EQ(outcomes[i].error().stage(), "b");
    EXPECT_EQ(outcomes[i].error().index(), i);
  }
  chain.scatter(7);
  EXPECT_THAT(chain.gather(), ElementsAre(7));
}

TEST(Pipeline, CancelEndsWhatIsInNoBody) {
  full_chain parts;
  auto chain = parts.a | parts.b | parts.c;
  auto other = parts.a | parts.b;
  parts.fill(chain);
  other.scatter(6);
  parts.until_left_a(6);
  chain.cancel();
  EXPECT_THROW(chain.scatter(6), penstock::stage_error);
  EXPECT_THROW((void)chain.try_scatter(6), penstock::stage_error);
  expect_stats(chain.stats(), {.running = 1, .failed = 4});
  expect_stats(parts.b.stats(), {.queued = 1, .running = 1, .failed = 1});  // the item of `other` has room now
  parts.inside.open();
  auto const outcomes = chain.outcomes();
  EXPECT_FALSE(parts.told_to_stop);
  ASSERT_EQ(outcomes.size(), 5U);
  for (auto const& each : outcomes) {
    EXPECT_EQ(each.error().kind(), error_kind::cancelled);
    EXPECT_EQ(each.error().stage(), "a | b | c");
  }
  EXPECT_THAT(other.gather(), ElementsAre(6));
  expect_stats(parts.a.stats(), {.done = 6});
  expect_stats(parts.c.stats(), {});
  chain.scatter(7);
  EXPECT_THAT(chain.gather(), ElementsAre(7));
}

TEST(Pipeline, CancelReachesItemsThatWaitForInputsAndForAttempts) {
  door inside;
  thread_stage slow{[&](int x) {
    inside.pass();
    return x;
  }};
  std::latch tried{2};
  thread_stage a{twice};
  thread_stage b{{.attempts = 2, .backoff = 1h}, [&](int x) -> int {
                   tried.count_down();
                   throw std::runtime_error{std::to_string(x)};
                 }};
  {
    auto chain = a | b;
    auto other = a | b;
    auto waits = chain.scatter(slow.scatter(1));
    auto tries = chain.scatter(2);
    auto lives = other.scatter(2);
    tried.wait();
    until([&] { return b.stats().running == 0; });
    chain.cancel();
    EXPECT_EQ(std::move(waits).outcome().error().kind(), error_kind::cancelled);
    EXPECT_STREQ(std::move(tries).outcome().error().what(), "4");
    EXPECT_FALSE(lives.ready());
    b.cancel();
    EXPECT_STREQ(std::move(lives).outcome().error().what(), "4");
  }
  inside.open();
}

TEST(Pipeline, CancelReachesAScatterThatWaitsForRoom) {
  door inside;
  thread_stage a{{.concurrency = 1, .capacity = 1}, [&](int x) {
                   inside.pass();
                   return x;
                 }};
  thread_stage b{twice};
  auto chain = a | b;
  chain.scatter(1);
  std::atomic<bool> starts{false};
  std::thread blocked{[&] {
    starts = true;
    EXPECT_THROW(chain.scatter(2), penstock::stage_error);
  }};
  until([&] { return starts.load(); });
  std::this_thread::sleep_for(5ms);  // so that it is likely to wait; the result does not depend on it
  chain.cancel();
  blocked.join();
  inside.open();
  EXPECT_EQ(kinds_of(chain.outcomes()), std::vector{error_kind::cancelled});
}

TEST(Pipeline, CloseFinishesWhatWasAccepted) {
  full_chain parts;
  auto chain = parts.a | parts.b | parts.c;
  parts.fill(chain);
  parts.b.close();
  parts.c.close();
  chain.scatter(5);
  chain.close();
  EXPECT_THROW(chain.scatter(6), penstock::stage_closed);
  parts.inside.open();
  EXPECT_THAT(chain.gather(), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THROW(chain.scatter(6), penstock::stage_closed);
  auto another = parts.a | parts.b;
  parts.a.close();
  EXPECT_THROW(another.scatter(6), penstock::stage_closed);
}

TEST(Pipeline, ItsEndCancelsWhatWaitsAndWaitsForBodies) {
  full_chain parts;
  std::vector<penstock::future<int>> futures;
  {
    auto chain = parts.a | parts.b | parts.c;
    parts.fill(chain);
    for (int i = 5; i < 8; ++i) futures.push_back(chain.scatter(i));
    parts.until_left_a(8);
    std::thread opens{[&parts, &futures] {
      for (auto& each : futures) each.wait();
      parts.inside.open();
    }};
    {
      auto const ends = std::move(chain);
    }
    opens.join();
  }
  for (auto& each : futures) EXPECT_EQ(std::move(each).outcome().error().kind(), error_kind::cancelled);
  EXPECT_EQ(parts.inside.waiting(), 1);
  expect_stats(parts.a.stats(), {.done = 8});
  parts.a.scatter(1);
  parts.b.scatter(1);
  EXPECT_THAT(parts.b.gather(), ElementsAre(1));
  EXPECT_THAT(parts.a.gather(), ElementsAre(1));
}

TEST(Pipeline, FuturesOutliveIt) {
  penstock::future<std::string> result;
  {
    thread_stage a{twice};
    thread_stage b{[](int x) { return std::string(200, static_cast<char>('a' + x)); }};
    auto chain = a | b;
    result = chain.scatter(3);
    chain.scatter(4);
    result.wait();
  }
  EXPECT_EQ(std::move(result).get(), std::string(200, 'g'));
}

TEST(PipelineDeathTest, AStageMustOutliveIt) {
  EXPECT_DEATH(
      {
        auto a = std::make_unique<thread_stage<int(int)>>(penstock::stage_options{.name = "first"}, twice);
        thread_stage b{twice};
        auto chain = *a | b;
        a.reset();
      },
      "stage 'first' is destroyed before a pipeline");
}

// ---- inline stages

TEST(Pipeline, InlineStagesRunOnTheThreadThatBringsTheItem) {
  auto const here = std::this_thread::get_id();
  thread_stage first{{.concurrency = 0}, [](int x) { return std::pair{x, std::this_thread::get_id()}; }};
  thread_stage second{{.concurrency = 0, .attempts = 2, .backoff = 1ms},
                      [tried = std::make_shared<std::atomic<int>>(0)](std::pair<int, std::thread::id> const& x) {
                        if (++*tried % 2 == 1) throw std::runtime_error{"first attempt"};
                        return x.second == std::this_thread::get_id() ? x.first : -1;
                      }};
  thread_stage threaded{[here](int x) { return std::this_thread::get_id() == here ? -2 : x; }};
  thread_stage again{{.concurrency = 0}, [here](int x) { return std::this_thread::get_id() == here ? -3 : x; }};
  auto all_inline = first | second;
  auto mixed = first | second | threaded | again | threaded;
  EXPECT_TRUE(all_inline.scatter(1).ready());
  all_inline.scatter_many(std::vector{2, 3});
  EXPECT_THAT(all_inline.gather(), ElementsAre(1, 2, 3));
  for (int i = 0; i < 50; ++i) mixed.scatter(i);
  auto const results = mixed.gather();
  ASSERT_EQ(results.size(), 50U);
  for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], static_cast<int>(i));
  expect_stats(second.stats(), {.done = 53, .retried = 53});
  expect_stats(again.stats(), {.done = 50});
}

TEST(Pipeline, MayHaveTheCoreOfAStageThatWentBeforeItsInputs) {
  door inputs;
  thread_stage first{1, [&](int x) {
                       inputs.pass();
                       return x;
                     }};
  thread_stage up{1, [](int x) { return x + 1; }};
  thread_stage down{1, [](int x) { return 2 * x; }};
  std::optional<penstock::future<int>> waiting;
  {
    thread_stage gone{1, [](int x) { return x; }};
    waiting = gone.scatter(first.scatter(1));
  }
  auto both = up | down;
  inputs.open();  // what waited for it is told, though it was cancelled
  EXPECT_THAT(first.gather(), testing::IsEmpty());
  for (int i = 0; i < 10; ++i) both.scatter(i);
  EXPECT_THAT(both.gather(), testing::SizeIs(10));
  EXPECT_EQ(std::move(*waiting).outcome().error().kind(), error_kind::cancelled);
}

TEST(Pipeline, GivesBytesBackToItsFirstStageThoughItHasGone) {
  std::string const text(600, 'x');
  door inputs;
  thread_stage number{1, [&](int x) {
                        inputs.pass();
                        return x;
                      }};
  thread_stage up{{.concurrency = 1, .capacity_bytes = 1'000},
                  [](std::string const& given, int x) { return static_cast<int>(given.size()) + x; }};
  thread_stage down{1, [](int x) { return 2 * x; }};
  {
    auto gone = up | down;
    gone.scatter(text, number.scatter(1));
  }
  thread_stage next{1, [](int x) { return x; }};  // perhaps with its core
  inputs.open();
  EXPECT_THAT(number.gather(), testing::IsEmpty());
  auto again = up | down;
  for (int i = 0; i < 10; ++i) again.scatter(text, i);
  EXPECT_THAT(again.gather(), testing::SizeIs(10));
  EXPECT_EQ(next.scatter(3).get(), 3);
}

}  // namespace
