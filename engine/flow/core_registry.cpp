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
    stage_state const* const core = core_of(serial);
    if (core == nullptr) continue;  // destroyed: its items are finished
    std::vector<std::uint32_t> const more = core->upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
  }
  return false;
}

// With mutex_ held.
stage_state* core_registry::core_of(std::uint32_t serial) const noexcept {
  auto const found = std::ranges::find(all_, serial, &stage_state::serial);
  return found != all_.end() ? *found : nullptr;
}

// ---- pipelines

// With mutex_ held: everything that `first` can come to depend on. Room in a stage comes when an item leaves it: one that
// waits for inputs, or in front of the next stage of its pipeline. An item ends when its inputs have ended, and one of a
// pipeline when it has found room in all stages but the first, where it has it. What never blocks is left out.
std::vector<core_registry::wait> core_registry::waits_behind(wait const& first) const {
  std::vector<wait> found;
  std::vector<wait> to_visit{first};
  auto const add_inputs_of = [&](std::uint32_t serial) {
    stage_state const* const core = core_of(serial);
    if (core == nullptr) return;
    for (std::uint32_t const each : core->upstreams()) to_visit.push_back({each, false});
  };
  auto const add_room_in = [&](std::uint32_t serial) {
    stage_state const* const core = core_of(serial);
    if (core != nullptr && !core->overflows()) to_visit.push_back({serial, true});
  };
  while (!to_visit.empty()) {
    wait const now = to_visit.back();
    to_visit.pop_back();
    if (std::ranges::find(found, now) != found.end()) continue;
    found.push_back(now);
    add_inputs_of(now.serial);
    for (auto const& [home, stages] : pipelines_) {
      if (!now.for_room && home == now.serial) {
        for (std::size_t k = 1; k < stages.size(); ++k) add_room_in(stages[k]);
      }
      if (!now.for_room) continue;
      if (stages.front() == now.serial) add_inputs_of(home);
      for (std::size_t k = 1; k < stages.size(); ++k) {
        if (stages[k - 1] == now.serial) add_room_in(stages[k]);
      }
    }
  }
  return found;
}

std::vector<stage_state*> core_registry::add_pipeline(std::uint32_t home, std::vector<std::uint32_t> stages) {
  std::lock_guard const lock{mutex_};
  std::vector<stage_state*> circular;
  pipelines_.push_back({home, std::move(stages)});
  auto const& added = pipelines_.back().stages;
  for (std::size_t k = 1; k < added.size(); ++k) {
    stage_state* const core = core_of(added[k]);
    if (core->overflows()) continue;
    auto const behind = waits_behind({added[k], true});
    if (std::ranges::find(behind, wait{added[k - 1], true}) == behind.end()) continue;
    core->let_overflow();
    circular.push_back(core);
  }
  return circular;
}

void core_registry::remove_pipeline(std::uint32_t home) noexcept {
  std::lock_guard const lock{mutex_};
  std::erase_if(pipelines_, [home](pipeline const& each) { return each.home == home; });
}

std::vector<stage_state*> core_registry::circular_rooms(std::uint32_t upstream, std::uint32_t downstream) {
  std::lock_guard const lock{mutex_};
  if (pipelines_.empty()) return {};
  auto const behind = waits_behind({upstream, false});
  auto const is_found = [&](wait const& some) { return std::ranges::find(behind, some) != behind.end(); };
  bool circular = is_found({downstream, true}) || is_found({downstream, false});
  for (auto const& [home, stages] : pipelines_) {
    circular = circular || (home == downstream && is_found({stages.front(), true}));
  }
  std::vector<stage_state*> rooms;
  for (auto const& [serial, for_room] : behind) {
    if (!circular || !for_room) continue;
    rooms.push_back(core_of(serial));
    rooms.back()->let_overflow();
  }
  return rooms;
}

}  // namespace penstock::detail
