// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/bundle.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/gather_options.hpp>
#include <penstock/outcome.hpp>

#include <chrono>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

// What the gather functions of stages and pipelines do: `core` has the items, `owner` is to be reopened after it.
namespace penstock::detail {

template <class T>
std::vector<outcome<T>> outcomes_of(cell_batch batch, bool failures_only) {
  std::vector<outcome<T>> outcomes;
  outcomes.reserve(batch.items());
  for (; !batch.empty(); batch.pop()) {
    for_each_item<T>(batch.front(), [&](std::size_t index, failure_ptr const* why, bool inherited, auto const& take) {
      if (failures_only && (why == nullptr || (*why)->kind == error_kind::dropped)) return;
      if (why != nullptr) outcomes.emplace_back(index, item_error{*why, inherited});
      else outcomes.emplace_back(index, take());
    });
  }
  return outcomes;
}

template <class T>
using gathered = std::conditional_t<std::is_void_v<T>, void, std::vector<T>>;

/// What gather() returns or throws, for a batch that is finished.
template <class T>
gathered<T> results_of(cell_batch& batch, bool all_good, bool failures_only) {
  if (!all_good) {
    stage_error base = batch.failure();
    throw gather_error<T>{std::move(base), outcomes_of<T>(std::move(batch), failures_only)};
  }
  if constexpr (std::is_void_v<T>) {
    for (; !batch.empty(); batch.pop()) continue;
  } else {
    std::vector<T> results;
    results.reserve(batch.items());
    for (; !batch.empty(); batch.pop()) {
      if (failures_only) continue;
      for_each_item<T>(batch.front(), [&](std::size_t, failure_ptr const* why, bool, auto const& take) {
        if (why == nullptr) results.push_back(take());  // else it was dropped
      });
    }
    return results;
  }
}

template <class T>
gathered<T> gather(stage_core& core, auto& owner, gather_options const& options) {
  cell_batch batch = core.detach();
  bool const all_good = batch.wait_all(options.progress);
  owner.reopen();
  return results_of<T>(batch, all_good, core.discards());
}

template <class T>
using gathered_in_time = std::conditional_t<std::is_void_v<T>, bool, std::optional<std::vector<T>>>;

template <class T>
gathered_in_time<T> gather_until(stage_core& core, auto& owner, std::chrono::steady_clock::time_point deadline) {
  std::optional<cell_batch> batch = core.detach_finished(deadline);
  if (!batch) return {};
  bool const all_good = batch->wait_all();
  owner.reopen();
  if constexpr (std::is_void_v<T>) {
    results_of<T>(*batch, all_good, core.discards());
    return true;
  } else {
    return results_of<T>(*batch, all_good, core.discards());
  }
}

template <class T>
std::vector<outcome<T>> gather_outcomes(stage_core& core, auto& owner) {
  cell_batch batch = core.detach();
  (void)batch.wait_all();
  owner.reopen();
  return outcomes_of<T>(std::move(batch), core.discards());
}

}  // namespace penstock::detail
