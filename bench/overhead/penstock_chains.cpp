// SPDX-License-Identifier: Apache-2.0
// The chain with penstock.
#include "bench/overhead/measurement.hpp"

#include <penstock/penstock.hpp>

#include <cstddef>
#include <deque>
#include <utility>

namespace overhead {
namespace {

using stage = penstock::thread_stage<int(int)>;

std::deque<stage> stages_of(conditions const& asked, int concurrency) {
  std::deque<stage> stages;
  for (std::size_t i = 0; i < asked.stages; ++i) {
    stages.emplace_back(penstock::stage_options{.concurrency = concurrency, .capacity = window}, asked.body);
  }
  return stages;
}

penstock::future<int> scatter_through(std::deque<stage>& stages, int item) {
  penstock::future<int> result = stages.front().scatter(item);
  for (std::size_t k = 1; k < stages.size(); ++k) result = stages[k].scatter(std::move(result));
  return result;
}

// Scatters all items and takes their results in order, as they come; at most `window` futures wait.
template <class Scatter>
void take_in_order(int items, ordered_results& results, Scatter const& scatter) {
  std::deque<penstock::future<int>> in_order;
  auto const take = [&] {
    results.take(std::move(in_order.front()).get());
    in_order.pop_front();
  };
  for (int i = 0; i < items; ++i) {
    in_order.push_back(scatter(i));
    while (in_order.size() >= window || (!in_order.empty() && in_order.front().ready())) take();
  }
  while (!in_order.empty()) take();
}

template <int Concurrency>
void futures(conditions const& asked, ordered_results& results) {
  auto stages = stages_of(asked, Concurrency);
  take_in_order(asked.items, results, [&](int item) { return scatter_through(stages, item); });
}

void scatter_then_gather(conditions const& asked, ordered_results& results) {
  auto stages = stages_of(asked, 8);
  for (int i = 0; i < asked.items; ++i) scatter_through(stages, i);
  for (int const value : stages.back().gather()) results.take(value);
}

template <class Stage>
concept fusable = requires(Stage& a, Stage& b) { a | b; };

template <class Stage, std::size_t... I>
void fused_of(std::deque<Stage>& stages, conditions const& asked, ordered_results& results,
              std::index_sequence<I...> /*which*/) {
  auto&& chain = (... | stages[I]);
  take_in_order(asked.items, results, [&](int item) { return chain.scatter(item); });
}

template <fusable Stage>
void fused(conditions const& asked, ordered_results& results) {
  std::deque<Stage> stages = stages_of(asked, 8);
  switch (asked.stages) {
    case 1: return fused_of(stages, asked, results, std::make_index_sequence<1>{});
    case 2: return fused_of(stages, asked, results, std::make_index_sequence<2>{});
    case 4: return fused_of(stages, asked, results, std::make_index_sequence<4>{});
    case 8: return fused_of(stages, asked, results, std::make_index_sequence<8>{});
    default: give_up("a fused chain has 1, 2, 4 or 8 stages here");
  }
}

template <class Stage>
void add_fused(std::vector<candidate>& chains) {
  if constexpr (fusable<Stage>) chains.push_back({"penstock pipeline, a | b", per_item<fused<Stage>>});
}

}  // namespace

std::vector<candidate> penstock_chains() {
  std::vector<candidate> chains{{"penstock futures", per_item<futures<8>>},
                                {"penstock futures, 400 slots", per_item<futures<400>>}};
  add_fused<stage>(chains);
  chains.push_back({"penstock scatter, then gather", per_item<scatter_then_gather>});
  return chains;
}

}  // namespace overhead
