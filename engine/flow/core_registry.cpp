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

std::vector<stage_state*> core_registry::upstreams_of(stage_state const& downstream, bool with_itself) {
  std::vector<stage_state*> found;
  std::lock_guard const lock{mutex_};
  std::vector<std::uint32_t> to_visit{downstream.serial()};
  while (!to_visit.empty()) {
    stage_state* const next = core_of(to_visit.back());
    to_visit.pop_back();
    if (next == nullptr || std::ranges::find(found, next) != found.end()) continue;
    found.push_back(next);
    std::vector<std::uint32_t> const more = next->upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
  }
  if (!with_itself) std::erase(found, &downstream);
  return found;
}

// With mutex_ held: calls `visit` with each stage that comes right before this one in a pipeline.
void core_registry::for_each_before(std::uint32_t serial, auto const& visit) const {
  for (auto const& [home, stages] : pipelines_) {
    for (std::size_t k = 1; k < stages.size(); ++k) {
      if (stages[k] == serial) visit(stages[k - 1]);
    }
  }
}

std::vector<stage_figures> core_registry::figures_of(stage_state const& last) {
  std::lock_guard const lock{mutex_};
  std::vector<stage_state const*> chain{&last};
  std::vector<std::vector<std::size_t>> inputs;
  auto const add_input = [&](std::uint32_t serial) {
    stage_state const* upstream = core_of(serial);
    if (upstream == nullptr || std::ranges::find(unused_, upstream) != unused_.end()) return;
    if (upstream->route() != nullptr) upstream = static_cast<stage_state const*>(upstream->route()->stages().back());
    if (upstream->body() == nullptr) return;
    auto const at = static_cast<std::size_t>(std::ranges::find(chain, upstream) - chain.begin());
    if (at == chain.size()) chain.push_back(upstream);
    if (std::ranges::find(inputs.back(), at) == inputs.back().end()) inputs.back().push_back(at);
  };
  // NOLINTNEXTLINE(modernize-loop-convert): it grows meanwhile
  for (std::size_t i = 0; i < chain.size(); ++i) {
    inputs.emplace_back();
    std::uint32_t const serial = chain[i]->serial();
    for (std::uint32_t const upstream : chain[i]->upstreams()) add_input(upstream);
    for_each_before(serial, add_input);
  }
  std::vector<stage_figures> figures;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    figures.push_back(chain[i]->figures());
    figures.back().inputs = std::move(inputs[i]);
  }
  return figures;
}

bool core_registry::reaches(std::uint32_t upstream, stage_state const& downstream, bool in_pipelines) {
  std::vector<std::uint32_t> to_visit;
  std::vector<std::uint32_t> visited;
  std::lock_guard const lock{mutex_};
  auto const visit_inputs = [&](stage_state const& of) {
    std::vector<std::uint32_t> const more = of.upstreams();
    to_visit.insert(to_visit.end(), more.begin(), more.end());
    if (in_pipelines) for_each_before(of.serial(), [&](std::uint32_t serial) { to_visit.push_back(serial); });
  };
  for (visit_inputs(downstream); !to_visit.empty();) {
    std::uint32_t const serial = to_visit.back();
    to_visit.pop_back();
    if (serial == upstream) return true;
    if (std::ranges::find(visited, serial) != visited.end()) continue;
    visited.push_back(serial);
    // One that was destroyed is not there: its items are finished.
    if (stage_state const* const core = core_of(serial)) visit_inputs(*core);
  }
  return false;
}

bool core_registry::is_read(stage_state const& maker) {
  if (maker.is_read()) return true;
  std::lock_guard const lock{mutex_};
  return std::ranges::any_of(pipelines_, [&](pipeline const& each) {
    return each.stages.back() == maker.serial() && core_of(each.home)->is_read();
  });
}

// With mutex_ held.
stage_state* core_registry::core_of(std::uint32_t serial) const noexcept {
  auto const found = std::ranges::find(all_, serial, &stage_state::serial);
  return found != all_.end() ? *found : nullptr;
}

// ---- pipelines

// With mutex_ held: whether room in `to` may have to come before there is room in `from`, whose items wait in front of later
// stages.
bool core_registry::room_waits_for(std::uint32_t from, std::uint32_t to) const {
  std::vector<std::uint32_t> visited;
  std::vector<std::uint32_t> to_visit{from};
  while (!to_visit.empty()) {
    std::uint32_t const now = to_visit.back();
    to_visit.pop_back();
    if (now == to) return true;
    if (std::ranges::find(visited, now) != visited.end()) continue;
    visited.push_back(now);
    for (auto const& [home, stages] : pipelines_) {
      for (std::size_t k = 1; k < stages.size(); ++k) {
        if (stages[k - 1] == now && !core_of(stages[k])->overflows()) to_visit.push_back(stages[k]);
      }
    }
  }
  return false;
}

std::vector<stage_state*> core_registry::add_pipeline(std::uint32_t home, std::vector<std::uint32_t> stages) {
  std::lock_guard const lock{mutex_};
  std::vector<stage_state*> circular;
  pipelines_.push_back({home, std::move(stages)});
  auto const& added = pipelines_.back().stages;
  for (std::size_t k = 1; k < added.size(); ++k) {
    stage_state* const core = core_of(added[k]);
    if (core->overflows() || !room_waits_for(added[k], added[k - 1])) continue;
    core->let_overflow();
    circular.push_back(core);
  }
  return circular;
}

void core_registry::remove_pipeline(std::uint32_t home) noexcept {
  std::lock_guard const lock{mutex_};
  std::erase_if(pipelines_, [home](pipeline const& each) { return each.home == home; });
}

}  // namespace penstock::detail
