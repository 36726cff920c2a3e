// SPDX-License-Identifier: Apache-2.0
// Ten bodies that sleep for 0.2 s, concurrency 10: the ideal is 0.2 s, whatever the number of cores, also while the host
// program holds TBB to one thread. Raw oneTBB beside it: a function_node of concurrency 10 in the default arena.
#include <penstock/penstock.hpp>

#include <benchmark/benchmark.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>

#include <chrono>
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

void penstock_naps_under_foreign_control(benchmark::State& state) {
  tbb::global_control const held{tbb::global_control::max_allowed_parallelism, 1};
  penstock_naps(state);
}

void raw_tbb_naps(benchmark::State& state) {
  for (auto _ : state) {
    tbb::flow::graph graph;
    tbb::flow::function_node<int, int> node{graph, bodies, nap};
    for (int i = 0; i < bodies; ++i) node.try_put(i);
    graph.wait_for_all();
  }
}

#define PENSTOCK_NAPS(name) BENCHMARK(name)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1)->Repetitions(5)
PENSTOCK_NAPS(penstock_naps_under_foreign_control);
PENSTOCK_NAPS(penstock_naps);
PENSTOCK_NAPS(raw_tbb_naps);

}  // namespace
