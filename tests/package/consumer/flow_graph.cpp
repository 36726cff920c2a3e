// SPDX-License-Identifier: Apache-2.0
#include <tbb/flow_graph.h>

#include <penstock/tbb.hpp>

#include <cstdio>

int main() {
  int sum = 0;
  tbb::flow::graph graph;
  penstock::thread_stage twice{4, [](int number) { return 2 * number; }};
  penstock::stage_node node{graph, twice};
  tbb::flow::function_node<penstock::outcome<int>> add{
      graph, tbb::flow::serial, [&sum](penstock::outcome<int> const& made) { sum += made.value(); }};
  tbb::flow::make_edge(node, add);
  for (int number = 0; number < 100; ++number) node.try_put(number);
  graph.wait_for_all();
  if (sum != 9900) {
    std::printf("the sum is %d, not 9900\n", sum);
    return 1;
  }
}
