// SPDX-License-Identifier: Apache-2.0
// What one item costs on its way through a chain of stages with empty bodies, ordered, at most 1,000 in flight: raw oneTBB
// (function_node chain with a sequencer_node, fed from outside) against penstock, with 8 and with 400 declared slots a
// stage. Read the ratio to raw TBB; five repetitions, medians. One iteration is 100,000 items.
#include <penstock/penstock.hpp>

#include <benchmark/benchmark.h>
#include <tbb/flow_graph.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <semaphore>
#include <vector>

namespace {

constexpr int items = 100'000;
constexpr std::size_t window = 1'000;

int body(int x) { return x + 1; }

void finish(benchmark::State& state) {
  using counter = benchmark::Counter;
  state.counters["per_item"] = counter{items, counter::kIsIterationInvariantRate | counter::kInvert};
}

void raw_tbb_chain(benchmark::State& state) {
  struct message {
    std::size_t number;
    int value;
  };
  namespace flow = tbb::flow;
  using stage = flow::function_node<message, message>;
  for (auto _ : state) {
    flow::graph graph;
    std::counting_semaphore<> room{window};
    int received = 0;
    std::vector<std::unique_ptr<stage>> stages;
    for (int i = 0; i < state.range(0); ++i) {
      stages.push_back(std::make_unique<stage>(
          graph, 2, [](message const& m) noexcept { return message{m.number, body(m.value)}; }));
      if (i > 0) flow::make_edge(*stages[stages.size() - 2], *stages.back());
    }
    flow::sequencer_node<message> in_order{graph, [](message const& m) { return m.number; }};
    flow::function_node<message, flow::continue_msg, flow::lightweight> sink{graph, flow::serial,
                                                                             [&](message const&) noexcept {
                                                                               ++received;
                                                                               room.release();
                                                                               return flow::continue_msg{};
                                                                             }};
    flow::make_edge(*stages.back(), in_order);
    flow::make_edge(in_order, sink);
    for (int i = 0; i < items; ++i) {
      room.acquire();
      stages.front()->try_put({static_cast<std::size_t>(i), i});
    }
    graph.wait_for_all();
    if (received != items) std::abort();
  }
  finish(state);
}

void penstock_chain(benchmark::State& state) {
  using stage = penstock::thread_stage<int(int)>;
  auto const length = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    std::deque<stage> stages;
    for (std::size_t i = 0; i < length; ++i) {
      stages.emplace_back(penstock::stage_options{.concurrency = static_cast<int>(state.range(1)), .capacity = window},
                          body);
    }
    std::deque<penstock::future<int>> in_order;
    int received = 0;
    auto const receive = [&] {
      if (std::move(in_order.front()).get() != received + static_cast<int>(length)) std::abort();
      in_order.pop_front();
      ++received;
    };
    for (int i = 0; i < items; ++i) {
      penstock::future<int> result = stages.front().scatter(i);
      for (std::size_t k = 1; k < length; ++k) result = stages[k].scatter(std::move(result));
      in_order.push_back(std::move(result));
      while (in_order.size() >= window || (!in_order.empty() && in_order.front().ready())) receive();
    }
    while (!in_order.empty()) receive();
  }
  finish(state);
}

BENCHMARK(raw_tbb_chain)
    ->ArgName("stages")
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->UseRealTime()
    ->Repetitions(5)
    ->ReportAggregatesOnly();
BENCHMARK(penstock_chain)
    ->ArgNames({"stages", "concurrency"})
    ->ArgsProduct({{1, 2, 4, 8}, {8, 400}})
    ->UseRealTime()
    ->Repetitions(5)
    ->ReportAggregatesOnly();

}  // namespace
