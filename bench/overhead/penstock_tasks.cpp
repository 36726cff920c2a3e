// SPDX-License-Identifier: Apache-2.0
// What bench/lox_overhead.py measures of Python's thread pools: many small tasks, one at a time, and the very first.
#include "bench/overhead/measurement.hpp"

#include <penstock/penstock.hpp>

#include <tbb/flow_graph.h>

#include <chrono>
#include <numeric>
#include <utility>
#include <vector>

namespace overhead {
namespace {

using stage = penstock::thread_stage<int(int)>;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int workers = 2;  // as many as the Python pools get

void check(std::vector<int> const& values, conditions const& asked) {
  ordered_results results{asked};
  for (int const value : values) results.take(value);
}

// `once` scatters and gathers that many items; a tenth of them first, not counted.
template <class Once>
double per_task(conditions const& asked, Once const& once) {
  once(asked.items / 10 + 1);
  stopwatch const watch;
  once(asked.items);
  return watch.elapsed<microseconds>() / asked.items;
}

double scatter_and_gather(conditions const& asked) {
  stage only{workers, asked.body};
  return per_task(asked, [&](int items) {
    for (int i = 0; i < items; ++i) only.scatter(i);
    check(only.gather(), {1, items, {}});
  });
}

template <class Stage>
concept takes_many = requires(Stage& s, std::vector<int> const& items) { s.scatter_many(items); };

template <takes_many Stage>
double scatter_many_and_gather(conditions const& asked) {
  Stage only{workers, asked.body};
  return per_task(asked, [&](int items) {
    std::vector<int> numbers(static_cast<std::size_t>(items));
    std::iota(numbers.begin(), numbers.end(), 0);
    only.scatter_many(numbers);
    check(only.gather(), {1, items, {}});
  });
}

template <class Stage>
void add_scatter_many(std::vector<candidate>& tasks) {
  if constexpr (takes_many<Stage>) tasks.push_back({"penstock scatter_many, gather", scatter_many_and_gather<Stage>});
}

double chain_of_two(conditions const& asked) {
  stage first{workers, asked.body};
  stage second{workers, asked.body};
  return per_task(asked, [&](int items) {
    for (int i = 0; i < items; ++i) second.scatter(first.scatter(i));
    check(second.gather(), {2, items, {}});
  });
}

double one_item_round(conditions const& asked) {
  stage only{workers, asked.body};
  return per_task(asked, [&](int items) {
    for (int i = 0; i < items; ++i) {
      only.scatter(i);
      if (only.gather() != std::vector{i + 1}) give_up("a result is wrong");
    }
  });
}

double first_of_penstock(conditions const& asked) {
  stopwatch const watch;
  stage only{workers, asked.body};
  int const result = only.scatter(0).get();
  double const taken = watch.elapsed<milliseconds>();
  if (result != 1) give_up("a result is wrong");
  return taken;
}

double first_of_tbb(conditions const& asked) {
  stopwatch const watch;
  int result = 0;
  tbb::flow::graph graph;
  tbb::flow::function_node<int> only{graph, workers, [&](int x) { result = asked.body(x); }};
  only.try_put(0);
  graph.wait_for_all();
  double const taken = watch.elapsed<milliseconds>();
  if (result != 1) give_up("a result is wrong");
  return taken;
}

}  // namespace

std::vector<candidate> thread_tasks() {
  std::vector<candidate> tasks{{"penstock scatter, gather", scatter_and_gather}};
  add_scatter_many<stage>(tasks);
  return tasks;
}
std::vector<candidate> chains_of_two() { return {{"penstock futures", chain_of_two}}; }
std::vector<candidate> one_item_rounds() { return {{"penstock scatter, gather", one_item_round}}; }
std::vector<candidate> first_results() {
  return {{"penstock", first_of_penstock}, {"tbb::flow::function_node", first_of_tbb}};
}

}  // namespace overhead
