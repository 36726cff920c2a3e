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

std::vector<stage_state*> core_registry::upstreams_of(stage_state const& downstream) {
  std::vector<stage_state*> found;
  std::lock_guard const lock{mutex_};
  std::vector<std::uint32_t> to_visit = downstream.upstreams();
  while (!to_visit.empty()) {
    std::uint32_t const serial = to_visit.back();
    to_visit.pop_back();
    auto const next = std::ranges::find(all_, serial, &stage_state::serial);
    if (next == all_.end() || std::ranges::find(found, *next) != found.end()) continue;
    found.push_back(*next);
    std::vector<std::uint32_t> const more = (*next)->upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
  }
  return found;
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
    auto const found = std::ranges::find(all_, serial, &stage_state::serial);
    if (found == all_.end()) continue;  // destroyed: its items are finished
    std::vector<std::uint32_t> const more = (*found)->upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
  }
  return false;
}

}  // namespace penstock::detail
