// SPDX-License-Identifier: Apache-2.0
// Chains as one writes them with oneTBB alone. The first one is what every ratio refers to.
#include "bench/overhead/measurement.hpp"

#include <penstock/usable_processors.hpp>

#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <semaphore>

namespace overhead {
namespace {

namespace flow = tbb::flow;

struct message {
  std::size_t number;
  int value;
};

message numbered(int item) { return {static_cast<std::size_t>(item), item}; }

// Stages, a sequencer that restores the order, and a sink. No body throws: TBB runs lightweight nodes at once only then.
struct graph_chain {
  template <class Delivered>
  graph_chain(conditions const& asked, std::size_t concurrency, ordered_results& results, Delivered delivered)
      : sink{graph, flow::serial, [&results, delivered](message const& m) noexcept {
               results.take(m.value);
               delivered();
               return flow::continue_msg{};
             }} {
    for (std::size_t i = 0; i < asked.stages; ++i) {
      stages.emplace_back(graph, concurrency,
                          [body = asked.body](message const& m) noexcept { return message{m.number, body(m.value)}; });
      if (i > 0) flow::make_edge(stages[i - 1], stages[i]);
    }
    flow::make_edge(stages.back(), in_order);
    flow::make_edge(in_order, sink);
  }

  flow::graph graph;
  std::deque<flow::function_node<message, message>> stages;
  flow::sequencer_node<message> in_order{graph, [](message const& m) { return m.number; }};
  flow::function_node<message, flow::continue_msg, flow::lightweight> sink;
};

// An arena of all processors without a slot for the calling thread. A plain arena keeps one, so a graph that is fed from
// outside has one worker too few; and without the control TBB has no more workers than processors but one.
class arena_of_workers {
 public:
  template <class Work>
  void execute(Work&& work) {
    arena_.execute(work);
  }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(size_); }

 private:
  int size_ = penstock::usable_processors();
  tbb::global_control control_{tbb::global_control::max_allowed_parallelism, size() + 1};
  tbb::task_arena arena_{size_, 0};
};

// From a thread outside, as scatter does it, at most `window` at once.
void feed(graph_chain& chain, int items, std::counting_semaphore<>& room) {
  for (int i = 0; i < items; ++i) {
    room.acquire();
    chain.stages.front().try_put(numbered(i));
  }
  chain.graph.wait_for_all();
}

void chain_in_default_arena(conditions const& asked, ordered_results& results) {
  std::counting_semaphore<> room{window};
  graph_chain chain{asked, 2, results, [&room]() noexcept { room.release(); }};
  feed(chain, asked.items, room);
}

void chain_in_own_arena(conditions const& asked, ordered_results& results) {
  std::counting_semaphore<> room{window};
  arena_of_workers arena;
  std::optional<graph_chain> chain;
  arena.execute([&] { chain.emplace(asked, arena.size(), results, [&room]() noexcept { room.release(); }); });
  feed(*chain, asked.items, room);
}

// The window as TBB's documentation has it: an input_node that pulls, and a limiter_node.
void limited_chain_in_own_arena(conditions const& asked, ordered_results& results) {
  arena_of_workers arena;
  std::optional<graph_chain> chain;
  std::optional<flow::input_node<message>> source;
  std::optional<flow::limiter_node<message>> limiter;
  int next = 0;
  arena.execute([&] {
    chain.emplace(asked, arena.size(), results, []() noexcept {});
    source.emplace(chain->graph, [&next, items = asked.items](tbb::flow_control& control) {
      if (next == items) {
        control.stop();
        return message{};
      }
      return numbered(next++);
    });
    limiter.emplace(chain->graph, window);
    flow::make_edge(*source, *limiter);
    flow::make_edge(*limiter, chain->stages.front());
    flow::make_edge(chain->sink, limiter->decrementer());
    source->activate();
  });
  chain->graph.wait_for_all();
}

void pipeline(conditions const& asked, ordered_results& results) {
  constexpr std::size_t tokens = 16;
  int next = 0;
  auto filters = tbb::make_filter<void, int>(tbb::filter_mode::serial_in_order, [&](tbb::flow_control& control) {
    if (next == asked.items) {
      control.stop();
      return 0;
    }
    return next++;
  });
  for (std::size_t i = 0; i < asked.stages; ++i) {
    filters = filters & tbb::make_filter<int, int>(tbb::filter_mode::parallel, asked.body);
  }
  tbb::parallel_pipeline(tokens, filters & tbb::make_filter<int, void>(tbb::filter_mode::serial_in_order,
                                                                       [&](int value) { results.take(value); }));
}

}  // namespace

std::vector<candidate> tbb_chains() {
  return {{"raw TBB chain", per_item<chain_in_default_arena>},
          {"raw TBB chain, arena(n, 0)", per_item<chain_in_own_arena>},
          {"raw TBB limiter chain, arena(n, 0)", per_item<limited_chain_in_own_arena>},
          {"tbb::parallel_pipeline, 16 tokens", per_item<pipeline>}};
}

}  // namespace overhead
