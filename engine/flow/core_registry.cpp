// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/core_registry.hpp"

#include "engine/flow/stage_state.hpp"

#include <algorithm>

namespace penstock::detail {

core_registry& core_registry::instance() {
  static core_registry& forever = *new core_registry;
  return forever;
}

stage_state& core_registry::take(std::shared_ptr<std::string const> name) {
  std::lock_guard const lock{mutex_};
  if (unused_.empty()) {
    all_.reserve(all_.size() + 1);
    unused_.reserve(all_.size() + 1);  // give() must not throw
    all_.push_back(new stage_state);
    unused_.push_back(all_.back());
  }
  stage_state& core = *unused_.back();
  unused_.pop_back();
  core.serial_ = ++last_serial_;
  core.name_ = std::move(name);
  names_[core.serial_ % names_.size()] = {core.serial_, core.name_};
  return core;
}

void core_registry::give(stage_state& core) noexcept {
  std::lock_guard const lock{mutex_};
  unused_.push_back(&core);
}

std::string core_registry::name_of(std::uint32_t serial) {
  std::lock_guard const lock{mutex_};
  auto const& [of, name] = names_[serial % names_.size()];
  return of == serial ? *name : "(destroyed long ago)";
}

// With mutex_ held; null when the stage was destroyed and its core is another one's.
stage_state const* core_registry::find(std::uint32_t serial) const {
  auto const found = std::ranges::find(all_, serial, &stage_state::serial);
  return found != all_.end() ? *found : nullptr;
}

std::vector<stage_figures> core_registry::figures_of(std::vector<stage_state const*> const& stages) {
  std::vector<stage_state const*> chain = stages;
  auto const place_of = [&chain](stage_state const* wanted) {
    return static_cast<std::size_t>(std::ranges::find(chain, wanted) - chain.begin());
  };
  std::vector<stage_figures> figures;
  std::lock_guard const lock{mutex_};
  for (std::size_t i = 0; i < chain.size(); ++i) {  // it grows meanwhile
    figures.push_back(chain[i]->figures());
    if (i > 0 && i < stages.size()) figures.back().inputs.push_back(i - 1);
    for (std::uint32_t const serial : chain[i]->upstreams()) {
      stage_state const* const upstream = find(serial);
      if (upstream == nullptr || std::ranges::find(unused_, upstream) != unused_.end()) continue;
      if (upstream->body() == nullptr) continue;
      std::size_t const at = place_of(upstream);
      if (at == chain.size()) chain.push_back(upstream);
      figures.back().inputs.push_back(at);
    }
  }
  return figures;
}

bool core_registry::reaches(std::uint32_t upstream, stage_state const& downstream) {
  std::vector<std::uint32_t> to_visit = downstream.upstreams();
  std::vector<std::uint32_t> visited;
  while (!to_visit.empty()) {
    std::uint32_t const serial = to_visit.back();
    to_visit.pop_back();
    if (serial == upstream) return true;
    if (std::ranges::find(visited, serial) != visited.end()) continue;
    visited.push_back(serial);
    std::lock_guard const lock{mutex_};
    stage_state const* const found = find(serial);
    if (found == nullptr) continue;  // destroyed: its items are finished
    std::vector<std::uint32_t> const more = found->upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
  }
  return false;
}

}  // namespace penstock::detail
