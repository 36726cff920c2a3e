// SPDX-License-Identifier: Apache-2.0
// Bodies that sleep for 0.2 s, whatever the number of cores, also while the host program holds TBB to one thread or two.
// Ten at once: the ideal is 0.2 s. Raw oneTBB beside it: a function_node of concurrency 10 in the default arena.
// A chain of ten at once and then two: the ideal is 0.2 s and five times 0.2 s; also beside two busy loops.
#include <penstock/penstock.hpp>

#include <benchmark/benchmark.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>

#include <chrono>
#include <stop_token>
#include <thread>

namespace {

constexpr int bodies = 10;

int nap(int x) {
  std::this_thread::sleep_for(std::chrono::milliseconds{200});
  return x;
}

void penstock_naps(benchmark::State& state) {
  for (auto _ : state) {
    penstock::thread_stage stage{bodies, nap};
    for (int i = 0; i < bodies; ++i) stage.scatter(i);
    benchmark::DoNotOptimize(stage.gather());
  }
}

void penstock_chain(benchmark::State& state) {
  for (auto _ : state) {
    penstock::thread_stage ten{bodies, nap};
    penstock::thread_stage two{2, nap};
    for (int i = 0; i < bodies; ++i) two.scatter(ten.scatter(i));
    benchmark::DoNotOptimize(two.gather());
  }
}

template <auto Bench, int Threads>
void under_foreign_control(benchmark::State& state) {
  tbb::global_control const held{tbb::global_control::max_allowed_parallelism, Threads};
  Bench(state);
}

void penstock_chain_beside_two_busy_loops(benchmark::State& state) {
  auto const spin = [](std::stop_token const& stop) {
    while (!stop.stop_requested()) continue;
  };
  std::jthread const first{spin};
  std::jthread const second{spin};
  penstock_chain(state);
}

void raw_tbb_naps(benchmark::State& state) {
  for (auto _ : state) {
    tbb::flow::graph graph;
    tbb::flow::function_node<int, int> node{graph, bodies, nap};
    for (int i = 0; i < bodies; ++i) node.try_put(i);
    graph.wait_for_all();
  }
}

#define PENSTOCK_NAPS(...) \
  BENCHMARK(__VA_ARGS__)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1)->Repetitions(5)
PENSTOCK_NAPS(under_foreign_control<penstock_naps, 1>);
PENSTOCK_NAPS(penstock_naps);
PENSTOCK_NAPS(under_foreign_control<penstock_chain, 1>);
PENSTOCK_NAPS(under_foreign_control<penstock_chain, 2>);
PENSTOCK_NAPS(penstock_chain);
PENSTOCK_NAPS(penstock_chain_beside_two_busy_loops);
PENSTOCK_NAPS(raw_tbb_naps);

}  // namespace
