// SPDX-License-Identifier: Apache-2.0
// Runs with PENSTOCK_SERIAL=1: every stage runs its bodies on the thread that scatters.
#include "tests/support/detached.hpp"

#include <penstock/detail/promised.hpp>
#include <penstock/tbb.hpp>
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using penstock::thread_stage;
using testing::ElementsAre;

TEST(Serial, BodiesRunOneAfterAnotherOnTheCallersThread) {
  std::vector<int> order;  // no lock: one thread
  auto const here = std::this_thread::get_id();
  thread_stage first{8, [&](int x) {
                       EXPECT_EQ(std::this_thread::get_id(), here);
                       order.push_back(x);
                       return x;
                     }};
  thread_stage second{8, [&](int x) {
                        EXPECT_EQ(std::this_thread::get_id(), here);
                        order.push_back(10 * x);
                        return x;
                      }};
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(second.scatter(first.scatter(i)).ready());
  EXPECT_THAT(order, ElementsAre(1, 10, 2, 20, 3, 30));
  EXPECT_THAT(second.gather(), ElementsAre(1, 2, 3));
}

// lox holds a lock there, and hangs.
TEST(Serial, ABodyMayScatterIntoItsOwnStage) {
  thread_stage<int(int)>* self = nullptr;
  thread_stage<int(int)> factorial{4, [&](int n) { return n <= 1 ? 1 : n * self->scatter(n - 1).get(); }};
  self = &factorial;
  EXPECT_EQ(factorial.scatter(5).get(), 120);
}

TEST(Serial, AnErrorIsTheItemsAndNotTheScatters) {
  thread_stage picky{4, [](int x) { return x == 2 ? throw std::domain_error{"two"} : x; }};
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(picky.scatter(i));
  auto const outcomes = picky.outcomes();
  ASSERT_EQ(outcomes.size(), 4U);
  EXPECT_THROW((void)outcomes[2].value(), std::domain_error);
  EXPECT_EQ(outcomes[3].value(), 3);
}

TEST(Serial, CoroutinesWaitForWhatIsMadeElsewhere) {
  auto& promise = penstock::detail::promised<int>::create();
  auto result = promise.get_future();
  std::latch done{1};
  int seen = 0;
  auto const wait = [&]() -> penstock::test::detached {
    seen = co_await std::move(result);
    done.count_down();
  };
  wait();
  EXPECT_EQ(seen, 0) << "it was not there";
  std::jthread const other{[&promise] { promise.fulfil(7); }};
  done.wait();
  EXPECT_EQ(seen, 7);
}

TEST(Serial, ScatterIntoAGraphWaitsForIt) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "libtbb is not instrumented: ThreadSanitizer cannot see the hand-overs inside a graph";
#endif
  tbb::flow::graph graph;
  using item = penstock::graph_item<int>;
  penstock::graph_stage<int(int)> twice{graph};
  tbb::flow::function_node<item, item> node{graph, 2, penstock::on_items([](int x) { return 2 * x; })};
  tbb::flow::make_edge(twice.entry(), node);
  tbb::flow::make_edge(node, twice.exit());
  EXPECT_TRUE(twice.scatter(1).ready());
  twice.scatter(2);
  EXPECT_THAT(twice.gather(), ElementsAre(2, 4));
  graph.wait_for_all();
}

TEST(Serial, BatchesHaveOneItem) {
  thread_stage first{{.batch = 8, .batch_wait = std::chrono::hours{1}}, [](penstock::batch<int const> all) {
                       EXPECT_EQ(all.size(), 1U);
                       if (all[0] == 1) throw std::runtime_error{"one"};
                       return std::vector<int>(all.begin(), all.end());
                     }};
  thread_stage second{{.batch = 4, .batch_wait = std::chrono::hours{1}},
                      [](penstock::batch<int> all) { return std::vector<int>{all[0] + 1}; }};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(second.scatter(first.scatter(i)).ready());
  auto const outcomes = second.outcomes();
  EXPECT_EQ(*outcomes[0] + *outcomes[2], 4);
  EXPECT_STREQ(outcomes[1].error().what(), "one");
}

}  // namespace
