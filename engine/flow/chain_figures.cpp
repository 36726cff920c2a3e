// SPDX-License-Identifier: Apache-2.0
// What a chain of stages tells explain() about itself.
#include "engine/flow/core_registry.hpp"
#include "engine/flow/stage_state.hpp"
#include "engine/observe/explain.hpp"

#include <penstock/detail/bundle.hpp>
#include <penstock/usable_processors.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

namespace penstock::detail {

stage_figures stage_state::figures() const {
  stage_stats const counts = stats();
  stage_figures now{.name = *name_,
                    .concurrency = concurrency_.load(std::memory_order_relaxed),
                    .capacity = declared_capacity_,
                    .runs_inline = runs_inline_,
                    .finished = counts.done + counts.failed + counts.dropped,
                    .in_bodies = counts.running,
                    .ready = 0,
                    .ready_for{},
                    .longest_ready_for{},
                    .timing = timer_.figures(),
                    .inputs = {}};
  if (takes_batches()) {  // a batch counts as one item, as it is timed as one
    now.finished = now.timing.bodies;
    now.in_bodies = runner_word::running_in(word_.load(std::memory_order_relaxed));
  }
  auto const at = moment::clock::now();
  auto const count = [&](cell const& each, std::uint32_t items) {
    now.ready += items;
    moment const since{each.ready_at_low_, each.ready_at_high_};
    if (!since.exists()) return;  // an item's next attempt
    now.ready_for += items * since.until(at);
    now.longest_ready_for = std::max(now.longest_ready_for, since.until(at));
  };
  auto const count_row = [&](cell* each) {
    for (; each != nullptr; each = each->next_) {
      bundle const* const many = bundle_in(*each);
      count(*each, many != nullptr ? many->size() : 1);
    }
  };
  std::lock_guard const lock{ready_mutex_};  // without it, no cell leaves either row
  count_row(first_ready_.load(std::memory_order_relaxed));
  count_row(incoming_.load(std::memory_order_acquire));
  for (bundle const* each = first_shared_; each != nullptr; each = each->next_shared_) {
    if (!each->is_claimed()) count(*each, each->size() - each->claimed());
  }
  return now;
}

std::string stage_core::explain() const {
  auto const& self = static_cast<stage_state const&>(*this);
  return detail::explain(core_registry::instance().figures_of(self), usable_processors());
}

}  // namespace penstock::detail
