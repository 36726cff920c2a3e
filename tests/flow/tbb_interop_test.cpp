// SPDX-License-Identifier: Apache-2.0
// Stages in flow graphs, and flow graphs in chains of stages.
#include <penstock/tbb.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/flow_graph.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

namespace flow = tbb::flow;
using penstock::error_kind;
using penstock::future;
using penstock::graph_item;
using penstock::graph_stage;
using penstock::on_items;
using penstock::outcome;
using penstock::stage_node;
using penstock::thread_stage;
using testing::ElementsAre;
using testing::IsEmpty;

class Interop : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer cannot see the hand-overs inside TBB's own graphs: libtbb is not instrumented";
#endif
  }
};

// ---- a stage as a node

class StageNode : public Interop {
 protected:
  // Where the outcomes of a node end, in the order in which they come.
  template <class T>
  flow::function_node<outcome<T>> collect(std::vector<outcome<T>>& into) {
    return {graph, flow::serial, [&into](outcome<T> const& one) { into.push_back(one); }};
  }
  flow::graph graph;
};

TEST_F(StageNode, PutsOutOneOutcomeForEveryMessage) {
  constexpr std::size_t many = 10'000;
  std::vector<outcome<int>> outcomes;
  thread_stage twice{{.concurrency = 4, .name = "twice"}, [](int x) {
                       if (x % 10 == 3) throw std::domain_error{std::to_string(x)};
                       return 2 * x;
                     }};
  stage_node node{graph, twice};
  auto end = collect(outcomes);
  flow::make_edge(node, end);
  for (std::size_t i = 0; i < many; ++i) ASSERT_TRUE(node.try_put(static_cast<int>(i)));
  graph.wait_for_all();

  ASSERT_EQ(outcomes.size(), many) << "wait_for_all() waits for the items in the stage";
  std::set<std::size_t> seen;
  for (auto const& one : outcomes) {
    EXPECT_TRUE(seen.insert(one.index()).second) << one.index();
    if (one.index() % 10 == 3) {
      ASSERT_FALSE(one);
      EXPECT_EQ(one.error().kind(), error_kind::exception);
      EXPECT_EQ(one.error().stage(), "twice");
      EXPECT_EQ(one.error().what(), std::to_string(one.index()));
      EXPECT_THROW((void)one.value(), std::domain_error);
    } else {
      EXPECT_EQ(one.value(), 2 * static_cast<int>(one.index()));
    }
  }
  EXPECT_THAT(twice.outcomes(), IsEmpty()) << "the node has taken the items out of the stage's gather";
}

TEST_F(StageNode, WaitForAllWaitsForABodyThatRuns) {
  std::latch entered{1};
  std::latch go{1};
  std::atomic<bool> ended{false};
  thread_stage slow{1, [&](int x) {
                      entered.count_down();
                      go.wait();
                      ended = true;
                      return x;
                    }};
  stage_node node{graph, slow};
  std::atomic<bool> came{false};
  flow::function_node<outcome<int>> end{graph, flow::serial, [&](outcome<int> const&) { came = ended.load(); }};
  flow::make_edge(node, end);
  node.try_put(1);
  entered.wait();
  std::jthread const opener{[&] { go.count_down(); }};
  graph.wait_for_all();
  EXPECT_TRUE(came);
}

TEST_F(StageNode, ASequencerNodePutsOutcomesInOrder) {
  std::vector<outcome<int>> outcomes;
  std::latch last{1};
  thread_stage backwards{4, [&](int x) {
                           if (x == 0) last.wait();
                           if (x == 99) last.count_down();
                           return x;
                         }};
  stage_node node{graph, backwards};
  flow::sequencer_node<outcome<int>> order{graph, [](outcome<int> const& one) { return one.index(); }};
  auto end = collect(outcomes);
  flow::make_edge(node, order);
  flow::make_edge(order, end);
  for (int i = 0; i < 100; ++i) node.try_put(i);
  graph.wait_for_all();
  ASSERT_EQ(outcomes.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*outcomes[static_cast<std::size_t>(i)], i);
}

TEST_F(StageNode, ATupleFillsTheParameters) {
  std::vector<outcome<std::string>> outcomes;
  thread_stage repeat{2, [](std::string const& text, int times) {
                        std::string all;
                        for (int i = 0; i < times; ++i) all += text;
                        return all;
                      }};
  flow::join_node<std::tuple<std::string, int>> join{graph};
  stage_node node{graph, repeat};
  auto end = collect(outcomes);
  flow::make_edge(join, node);
  flow::make_edge(node, end);
  flow::input_port<0>(join).try_put("ab");
  flow::input_port<1>(join).try_put(3);
  graph.wait_for_all();
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(*outcomes[0], "ababab");
}

TEST_F(StageNode, StandsForAChainOfStages) {
  std::vector<outcome<std::string>> outcomes;
  thread_stage half{{.concurrency = 2, .name = "half"}, [](int x) {
                      if (x % 2 != 0) throw std::domain_error{"odd"};
                      return x / 2;
                    }};
  thread_stage text{2, [](int x) { return std::to_string(x); }};
  stage_node node{graph, [&](int x) { return text.scatter(half.scatter(x)); }};
  auto end = collect(outcomes);
  flow::make_edge(node, end);
  for (int i = 0; i < 2; ++i) {
    node.try_put(8 + i);
    graph.wait_for_all();
  }
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(*outcomes[0], "4");
  ASSERT_FALSE(outcomes[1]);
  EXPECT_EQ(outcomes[1].error().kind(), error_kind::upstream);
  EXPECT_EQ(outcomes[1].error().stage(), "half");
}

TEST_F(StageNode, WhatCannotBeScatteredFailsAlone) {
  std::vector<outcome<int>> outcomes;
  thread_stage same{2, [](int x) { return x; }};
  stage_node node{graph, [&](int x) {
                    if (x == 1) throw std::invalid_argument{"not this one"};
                    return x == 2 ? future<int>{} : same.scatter(x);
                  }};
  auto end = collect(outcomes);
  flow::make_edge(node, end);
  for (int i = 0; i < 4; ++i) {
    node.try_put(i);
    graph.wait_for_all();
  }
  ASSERT_EQ(outcomes.size(), 4U);
  EXPECT_EQ(*outcomes[0], 0);
  EXPECT_STREQ(outcomes[1].error().what(), "not this one");
  EXPECT_EQ(outcomes[1].error().index(), 1U);
  EXPECT_THROW((void)outcomes[1].value(), std::invalid_argument);
  EXPECT_THROW((void)outcomes[2].value(), std::logic_error);
  EXPECT_EQ(*outcomes[3], 3);
  EXPECT_FALSE(graph.is_cancelled());
}

TEST_F(StageNode, TakesResultsOfVoidAndSharedOnes) {
  std::vector<outcome<void>> ends;
  std::vector<outcome<std::shared_ptr<std::unique_ptr<int>>>> pointers;
  std::atomic<int> ran{0};
  thread_stage count{2, [&] { ++ran; }};
  thread_stage wrap{2, [](int x) { return std::make_shared<std::unique_ptr<int>>(std::make_unique<int>(x)); }};
  stage_node first{graph, count};
  stage_node second{graph, wrap};
  auto first_end = collect(ends);
  auto second_end = collect(pointers);
  flow::make_edge(first, first_end);
  flow::make_edge(second, second_end);
  first.try_put(flow::continue_msg{});
  second.try_put(5);
  graph.wait_for_all();
  EXPECT_EQ(ran, 1);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_TRUE(ends[0]);
  ASSERT_EQ(pointers.size(), 1U);
  EXPECT_EQ(***pointers[0], 5);
}

TEST_F(StageNode, AFullStageHoldsMessagesBackInTheNode) {
  std::latch go{1};
  std::vector<outcome<int>> outcomes;
  thread_stage narrow{{.concurrency = 1, .capacity = 2}, [&](int x) {
                        go.wait();
                        return x;
                      }};
  stage_node node{graph, narrow};
  auto end = collect(outcomes);
  flow::make_edge(node, end);
  for (int i = 0; i < 100; ++i) node.try_put(i);  // does not block
  auto const stats = narrow.stats();
  EXPECT_LE(stats.queued + stats.running, 2U);
  go.count_down();
  graph.wait_for_all();
  EXPECT_EQ(outcomes.size(), 100U);
}

TEST_F(StageNode, RejectsWhatItCannotScatterIfToldSo) {
  std::latch go{1};
  std::atomic<int> made{0};
  std::vector<outcome<int>> outcomes;
  thread_stage narrow{{.concurrency = 1, .capacity = 2}, [&](int x) {
                        go.wait();
                        return x;
                      }};
  flow::input_node<int> source{graph, [&](tbb::flow_control& control) {
                                 if (made == 100) {  // it may be asked again
                                   control.stop();
                                   return 0;
                                 }
                                 return made++;
                               }};
  stage_node<int, int, flow::rejecting> node{graph, narrow};
  auto end = collect(outcomes);
  flow::make_edge(source, node);
  flow::make_edge(node, end);
  source.activate();
  while (narrow.stats().running == 0) std::this_thread::yield();
  EXPECT_LE(made, 5) << "two in the stage, one on its way in, and one that the source keeps";
  go.count_down();
  graph.wait_for_all();
  EXPECT_EQ(outcomes.size(), 100U);
}

TEST_F(StageNode, ItsStageMayEndFirst) {
  std::latch entered{1};
  std::latch go{1};
  std::vector<outcome<int>> outcomes;
  auto slow = std::make_unique<thread_stage<int(int)>>(1, [&](int x) {
    entered.count_down();
    go.wait();
    return x;
  });
  stage_node node{graph, *slow};
  auto end = collect(outcomes);
  flow::make_edge(node, end);
  for (int i = 0; i < 10; ++i) node.try_put(i);
  entered.wait();
  while (slow->stats().queued != 9) std::this_thread::yield();
  std::jthread const opener{[&] { go.count_down(); }};
  slow.reset();
  graph.wait_for_all();
  ASSERT_EQ(outcomes.size(), 10U);
  for (auto const& one : outcomes) {
    if (!one) EXPECT_EQ(one.error().kind(), error_kind::cancelled);
    else EXPECT_EQ(*one, static_cast<int>(one.index()));
  }
}

struct thrown_by_copy {
  static inline std::atomic<bool> throws{false};
  thrown_by_copy() = default;
  thrown_by_copy(thrown_by_copy const&) {
    if (throws) throw std::domain_error{"copied"};
  }
  thrown_by_copy(thrown_by_copy&&) noexcept {}  // NOLINT(modernize-use-equals-default)
  thrown_by_copy& operator=(thrown_by_copy const&) = default;
  thrown_by_copy& operator=(thrown_by_copy&&) = default;
  ~thrown_by_copy() = default;
};

TEST_F(StageNode, AnExceptionOfACopyReachesWaitForAll) {
  thread_stage make{1, [](int) { return thrown_by_copy{}; }};
  stage_node node{graph, make};
  flow::queue_node<outcome<thrown_by_copy>> end{graph};
  flow::make_edge(node, end);
  thrown_by_copy::throws = true;
  node.try_put(1);
  EXPECT_THROW(graph.wait_for_all(), std::domain_error);
  thrown_by_copy::throws = false;
}

// ---- a part of a graph as a stage

class GraphStage : public Interop {
 protected:
  flow::graph graph;
};

TEST_F(GraphStage, EveryItemFindsItsFuture) {
  constexpr int many = 10'000;
  graph_stage<std::string(int)> texts{graph, {.capacity = 500}};
  flow::function_node<graph_item<int>, graph_item<int>> add{graph, flow::unlimited,
                                                            on_items([](int x) { return x + 1; })};
  flow::function_node<graph_item<int>, graph_item<std::string>> write{
      graph, 3, on_items([](int x) { return std::to_string(x); })};
  flow::make_edge(texts.entry(), add);
  flow::make_edge(add, write);
  flow::make_edge(write, texts.exit());

  thread_stage before{4, [](int x) { return x; }};
  thread_stage after{4, [](std::string const& text, int x) { return text == std::to_string(x + 1) ? 1 : 0; }};
  for (int i = 0; i < many; ++i) after.scatter(texts.scatter(before.scatter(i)), i);
  auto const right = after.gather();
  EXPECT_EQ(std::count(right.begin(), right.end(), 1), many);
  EXPECT_EQ(texts.stats().done, static_cast<std::size_t>(many));
  graph.wait_for_all();
}

TEST_F(GraphStage, GathersInScatterOrder) {
  graph_stage<int(int)> same{graph};
  flow::function_node<graph_item<int>, graph_item<int>> pass{graph, flow::unlimited, on_items([](int x) { return x; })};
  flow::make_edge(same.entry(), pass);
  flow::make_edge(pass, same.exit());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1'000; ++i) same.scatter(i);
    auto const all = same.gather();
    ASSERT_EQ(all.size(), 1'000U);
    for (int i = 0; i < 1'000; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
  }
  graph.wait_for_all();
}

TEST_F(GraphStage, OneBadItemIsOneBadItem) {
  graph_stage<int(int)> checked{graph, {.name = "checked"}};
  std::atomic<int> entered{0};
  flow::function_node<graph_item<int>, graph_item<int>> check{graph, flow::unlimited, on_items([&](int x) {
                                                                if (x == 3) throw std::domain_error{"three"};
                                                                return x;
                                                              })};
  flow::function_node<graph_item<int>, graph_item<int>> next{graph, flow::unlimited, on_items([&](int x) {
                                                               ++entered;
                                                               return x;
                                                             })};
  flow::make_edge(checked.entry(), check);
  flow::make_edge(check, next);
  flow::make_edge(next, checked.exit());
  (void)checked.scatter(0).get();
  (void)checked.gather();

  thread_stage odd{{.concurrency = 1, .name = "odd"}, [](int x) {
                     if (x == 5) throw std::out_of_range{"five"};
                     return x;
                   }};
  for (int i = 0; i < 10; ++i) checked.scatter(odd.scatter(i));
  auto const outcomes = checked.outcomes();
  ASSERT_EQ(outcomes.size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) {
    if (i == 3) {
      EXPECT_EQ(outcomes[i].error().kind(), error_kind::exception);
      EXPECT_EQ(outcomes[i].error().stage(), "checked");
      EXPECT_EQ(outcomes[i].error().index(), 3U);
      EXPECT_THROW((void)outcomes[i].value(), std::domain_error);
    } else if (i == 5) {
      EXPECT_EQ(outcomes[i].error().kind(), error_kind::upstream);
      EXPECT_EQ(outcomes[i].error().stage(), "odd");
      EXPECT_THROW((void)outcomes[i].value(), std::out_of_range);
    } else {
      EXPECT_EQ(outcomes[i].value(), static_cast<int>(i));
    }
  }
  graph.wait_for_all();
  EXPECT_EQ(entered, 9);
  EXPECT_FALSE(graph.is_cancelled());
}

TEST_F(GraphStage, CancelEndsWhatWaitsAndCanBeUndone) {
  graph_stage<int(int)> same{graph, {.name = "same"}};
  std::atomic<int> entered{0};
  flow::function_node<graph_item<int>, graph_item<int>> pass{graph, flow::unlimited, on_items([&](int x) {
                                                               ++entered;
                                                               return x;
                                                             })};
  flow::make_edge(same.entry(), pass);
  flow::make_edge(pass, same.exit());
  std::latch go{1};
  thread_stage late{1, [&](int x) {
                      go.wait();
                      return x;
                    }};
  auto waiting = same.scatter(late.scatter(1));
  same.cancel();
  EXPECT_EQ(std::move(waiting).outcome().error().kind(), error_kind::cancelled);
  EXPECT_THROW(same.scatter(2), penstock::stage_error);
  EXPECT_TRUE(same.gather().empty());
  go.count_down();
  same.scatter(3);
  EXPECT_EQ(same.gather(), std::vector{3});
  graph.wait_for_all();
  EXPECT_EQ(entered, 1) << "what was cancelled enters no more";
  same.close();
  EXPECT_THROW(same.scatter(4), penstock::stage_closed);
}

TEST_F(GraphStage, TakesTuplesAndGivesVoid) {
  std::atomic<int> sum{0};
  graph_stage<void(int, std::string)> add{graph};
  flow::function_node<graph_item<std::tuple<int, std::string>>, graph_item<std::monostate>> node{
      graph, flow::unlimited, on_items([&](int x, std::string const& text) { sum += x * std::stoi(text); })};
  flow::make_edge(add.entry(), node);
  flow::make_edge(node, add.exit());
  thread_stage pair{1, [](int x) { return std::tuple{x, std::string{"10"}}; }};
  add.scatter(pair.scatter(4));
  add.scatter(2, "1");
  add.gather();
  EXPECT_EQ(sum, 42);
  graph.wait_for_all();
}

TEST_F(GraphStage, ForksAreJoinedByTheirTags) {
  using item = graph_item<int>;
  graph_stage<int(int)> sum{graph};
  flow::function_node<item, item> left{graph, flow::unlimited, on_items([](int x) { return x + 1; })};
  flow::function_node<item, item> right{graph, flow::unlimited, on_items([](int x) {
                                          if (x % 7 == 0) throw std::domain_error{"seven"};
                                          return 10 * x;
                                        })};
  auto const tag = [](item const& one) { return one.tag(); };
  flow::join_node<std::tuple<item, item>, flow::tag_matching> join{graph, tag, tag};
  flow::function_node<std::tuple<item, item>, item> add{graph, flow::unlimited, [](std::tuple<item, item> const& both) {
                                                          auto const& [a, b] = both;
                                                          return a && b ? a.with(*a + *b) : a.pass_on<int>();
                                                        }};
  flow::make_edge(sum.entry(), left);
  flow::make_edge(left, flow::input_port<0>(join));
  flow::make_edge(sum.entry(), right);
  flow::make_edge(right, flow::input_port<1>(join));
  flow::make_edge(join, add);
  flow::make_edge(add, sum.exit());
  for (int i = 0; i < 5'000; ++i) sum.scatter(i);
  for (auto const& one : sum.outcomes()) {
    auto const i = static_cast<int>(one.index());
    if (i % 7 == 0) EXPECT_THROW((void)one.value(), std::domain_error);
    else EXPECT_EQ(one.value(), 11 * i + 1);
  }
  graph.wait_for_all();
}

TEST_F(GraphStage, AnItemThatTheGraphLosesFails) {
  graph_stage<int(int)> even{graph, {.name = "even"}};
  flow::multifunction_node<graph_item<int>, std::tuple<graph_item<int>>> filter{
      graph, flow::unlimited, [](graph_item<int> const& item, auto& ports) {
        if (*item % 2 == 0) std::get<0>(ports).try_put(item);
      }};
  flow::make_edge(even.entry(), filter);
  flow::make_edge(flow::output_port<0>(filter), even.exit());
  EXPECT_EQ(even.scatter(2).get(), 2);
  EXPECT_THROW((void)even.scatter(3).get(), std::runtime_error);
  graph.wait_for_all();
}

TEST_F(GraphStage, TheFirstOfSeveralAnswersCounts) {
  graph_stage<int(int)> twice{graph};
  flow::multifunction_node<graph_item<int>, std::tuple<graph_item<int>>> repeat{
      graph, flow::serial, [](graph_item<int> const& item, auto& ports) {
        std::get<0>(ports).try_put(item);
        std::get<0>(ports).try_put(item.with(-1));
      }};
  flow::make_edge(twice.entry(), repeat);
  flow::make_edge(flow::output_port<0>(repeat), twice.exit());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(twice.scatter(i).get(), i);
  graph.wait_for_all();
}

TEST_F(GraphStage, AnItemThatLeavesByAnothersExitFails) {
  graph_stage<int(int)> here{graph};
  graph_stage<int(int)> there{graph};
  flow::make_edge(here.entry(), there.exit());
  EXPECT_THROW((void)here.scatter(1).get(), std::logic_error);
  graph.wait_for_all();
}

TEST_F(GraphStage, ACancelledGraphFailsItsItems) {
  graph_stage<int(int)> failing{graph};
  flow::function_node<graph_item<int>, graph_item<int>> node{graph, flow::serial,
                                                             [](graph_item<int> const& item) -> graph_item<int> {
                                                               if (*item == 0)
                                                                 throw std::domain_error{"not an item's error"};
                                                               return item;
                                                             }};
  flow::make_edge(failing.entry(), node);
  flow::make_edge(node, failing.exit());
  auto lost = failing.scatter(0);
  EXPECT_THROW((void)lost.get(), std::runtime_error);
  EXPECT_THROW(graph.wait_for_all(), std::domain_error);
  graph.reset();
  EXPECT_EQ(failing.scatter(1).get(), 1) << "the graph works again";
  graph.wait_for_all();
}

TEST_F(GraphStage, ScatterKeepsItsBound) {
  std::latch go{1};
  std::atomic<int> inside{0};
  graph_stage<int(int)> narrow{graph, {.capacity = 3}};
  flow::function_node<graph_item<int>, graph_item<int>> node{graph, flow::unlimited, on_items([&](int x) {
                                                               ++inside;
                                                               go.wait();
                                                               return x;
                                                             })};
  flow::make_edge(narrow.entry(), node);
  flow::make_edge(node, narrow.exit());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(narrow.try_scatter(i));
  EXPECT_FALSE(narrow.try_scatter(3));
  EXPECT_EQ(narrow.stats().queued, 3U);
  std::jthread const opener{[&] {
    while (inside == 0) std::this_thread::yield();
    go.count_down();
  }};
  narrow.scatter(3);  // waits for room
  EXPECT_THAT(narrow.gather(), ElementsAre(0, 1, 2, 3));
  graph.wait_for_all();
}

TEST_F(GraphStage, ARefusedScatterLeavesNothingBehind) {
  graph_stage<int(int)> same{graph, {.capacity = 1}};
  flow::make_edge(same.entry(), same.exit());
  thread_stage number{1, [](int x) { return x; }};
  auto gathered = number.scatter(1);
  (void)number.gather();
  for (int i = 0; i < 100; ++i) EXPECT_THROW(same.scatter(gathered), penstock::already_gathered);
  EXPECT_EQ(same.stats().queued, 0U);
  same.scatter(2);
  EXPECT_THAT(same.gather(), ElementsAre(2));
  graph.wait_for_all();
}

TEST_F(GraphStage, ItsEndCancelsWhatHasNotComeOut) {
  std::latch go{1};
  thread_stage before{{.concurrency = 1}, [&](int x) {
                        go.wait();
                        return x;
                      }};
  std::vector<future<int>> futures;
  {
    graph_stage<int(int)> ended{graph, {.name = "ended"}};
    flow::make_edge(ended.entry(), ended.exit());
    futures.push_back(ended.scatter(7));
    EXPECT_EQ(futures[0].get(), 7);
    for (int i = 0; i < 5; ++i) futures.push_back(ended.scatter(before.scatter(i)));
    graph.wait_for_all();
  }
  EXPECT_EQ(futures[0].get(), 7);
  for (std::size_t i = 1; i < futures.size(); ++i) {
    auto const one = std::move(futures[i]).outcome();
    ASSERT_FALSE(one);
    EXPECT_EQ(one.error().kind(), error_kind::cancelled);
    EXPECT_EQ(one.error().stage(), "ended");
    EXPECT_EQ(one.error().index(), i);
  }
  go.count_down();
}

// ---- both

TEST_F(GraphStage, AStageInAGraphInAChain) {
  graph_stage<int(int)> outer{graph, {.capacity = 50}};
  thread_stage inner{2, [](graph_item<int> const& item) { return item.with(*item + 1); }};
  stage_node node{graph, inner};
  flow::function_node<outcome<graph_item<int>>, graph_item<int>> unwrap{
      graph, flow::unlimited, [](outcome<graph_item<int>> const& made) { return made.value(); }};
  flow::make_edge(outer.entry(), node);
  flow::make_edge(node, unwrap);
  flow::make_edge(unwrap, outer.exit());
  for (int i = 0; i < 1'000; ++i) outer.scatter(i);
  auto const all = outer.gather();
  ASSERT_EQ(all.size(), 1'000U);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i + 1);
  graph.wait_for_all();
}

}  // namespace
