// SPDX-License-Identifier: Apache-2.0
// TBB's flow graphs and stages together, both ways. First a stage is a node of a graph: four requests are under way at
// once, whatever the number of the graph's threads, and the one that fails comes out as an outcome like the others. Then
// nodes of a graph are a stage, between two other stages: futures go in and come out.
#include <tbb/flow_graph.h>

#include <penstock/penstock.hpp>
#include <penstock/tbb.hpp>

#include <cstdio>
#include <latch>
#include <stdexcept>
#include <string>
#include <utility>

namespace flow = tbb::flow;

int main() {
  flow::graph graph;

  std::latch all_waiting{4};
  penstock::thread_stage ask{{.concurrency = 4, .name = "ask"}, [&](std::string const& river) {
                               all_waiting.arrive_and_wait();  // an answer takes its time: nobody has one before
                               if (river == "Styx") throw std::runtime_error{"no gauge there"};
                               return std::pair{river, 100 * river.size()};
                             }};
  using answer = penstock::outcome<std::pair<std::string, std::size_t>>;
  penstock::stage_node levels{graph, ask};
  flow::sequencer_node<answer> in_order{graph, [](answer const& one) { return one.index(); }};
  flow::function_node<answer> print{graph, flow::serial, [](answer const& one) {
                                      if (one) std::printf("%s: %zu cm\n", one->first.c_str(), one->second);
                                      else std::printf("message %zu: %s\n", one.index(), one.error().what());
                                    }};
  flow::make_edge(levels, in_order);
  flow::make_edge(in_order, print);
  for (auto const* river : {"Loire", "Styx", "Danube", "Elbe"}) levels.try_put(river);
  graph.wait_for_all();  // also for what is in the stage

  penstock::graph_stage<double(int)> power{graph, {.name = "power"}};  // its body is what lies between entry and exit
  flow::function_node<penstock::graph_item<int>, penstock::graph_item<double>> flow_rate{
      graph, flow::unlimited, penstock::on_items([](int level_cm) { return 0.5 * level_cm; })};
  flow::function_node<penstock::graph_item<double>, penstock::graph_item<double>> turbine{
      graph, 2, penstock::on_items([](double rate) {
        if (rate > 200) throw std::runtime_error{"too much water"};
        return 0.25 * rate;
      })};
  flow::make_edge(power.entry(), flow_rate);
  flow::make_edge(flow_rate, turbine);
  flow::make_edge(turbine, power.exit());

  penstock::thread_stage read{{.concurrency = 2, .name = "read"},
                              [](std::string const& gauge) { return std::stoi(gauge); }};
  penstock::thread_stage write{2, [](double megawatts) { return std::to_string(megawatts) + " MW"; }};
  for (auto const* gauge : {"120", "dry", "480", "96"}) write.scatter(power.scatter(read.scatter(gauge)));
  for (auto const& line : write.outcomes()) {
    if (line) std::puts(line->c_str());
    else std::printf("failed in stage '%s': %s\n", line.error().stage().c_str(), line.error().what());
  }
  graph.wait_for_all();
}
