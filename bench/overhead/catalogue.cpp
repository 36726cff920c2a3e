// SPDX-License-Identifier: Apache-2.0
#include "bench/overhead/measurement.hpp"

namespace overhead {
namespace {

std::vector<candidate> all_chains() {
  std::vector<candidate> chains = tbb_chains();
  for (auto const& some : {thread_chains(), penstock_chains()}) chains.insert(chains.end(), some.begin(), some.end());
  return chains;
}

}  // namespace

std::vector<bench> const& catalogue() {
  static std::vector<bench> const all{
      {std::string{chain_bench}, "An item through a chain of stages", "ns/item", 100'000, 20'000, all_chains()},
      {"thread_task", "A task: one stage, empty body", "us/task", 100'000, 20'000, thread_tasks()},
      {"chain_of_two", "An item through two stages, empty bodies", "us/item", 100'000, 20'000, chains_of_two()},
      {"one_item_round", "A round: one item there and back", "us/round", 20'000, 2'000, one_item_rounds()},
      {"first_result", "A program's first result, from the stage's construction", "ms", 1, 1, first_results()},
      {"queued_bytes", "Memory of an item that waits", "B/item", 1'000'000, 200'000, queued_bytes()},
      {"peak_rss", "Peak memory: 200 images of 3 MB through two stages", "MB", 200, 200, peak_rss()},
  };
  return all;
}

}  // namespace overhead
