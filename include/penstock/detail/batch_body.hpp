// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/batch.hpp>
#include <penstock/detail/call.hpp>
#include <penstock/detail/cell_row.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/outcome.hpp>

#include <cstddef>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock::detail {

/// A body that takes batches, behind the signature R(P) of one item.
template <class Body, class R, class P>
class stored_batch_body final : public erased_body<R, P>, public batch_body {
  using form = typename batch_form<Body, R, P>::type;
  using item = typename form::item;
  using made = typename form::made;
  using cell_type = batch_item<R, P>;
  using entry = batch_entry<P>;

 public:
  template <class B>
  explicit stored_batch_body(B&& body) : body_(std::forward<B>(body)) {}

  batch_body* as_batch_body() noexcept override { return this; }

  R call(stage_core& stage, P parameter) override {
    entry alone{};
    alone.item = &parameter;
    if constexpr (std::is_void_v<made>) {
      invoke(stage, {&alone, 1});
    } else {
      made results = invoke(stage, {&alone, 1});
      if (results.size() != 1) throw wrong_number(results.size(), 1);
      if constexpr (!form::makes_outcomes) return take(results, 0);
      else return std::move(results[0]).value();
    }
  }

  [[nodiscard]] bool has_failed_input(cell const& ready) const noexcept override {
    return static_cast<cell_type const&>(ready).has_failed_input();
  }

  void run(stage_core& stage, cell_row group, cell_row& done, cell_row& later) noexcept override {
    std::vector<entry> entries;
    try {
      std::size_t size = 0;
      for (cell_row each = group; each.take() != nullptr;) ++size;
      entries.reserve(size);
    } catch (...) {
      while (cell* const each = group.take()) {
        as_item(*each).fail_attempt();
        done.append(*each);
      }
      return;
    }
    while (cell* const each = group.take()) {
      entry& added = entries.emplace_back();
      added.of = each;
      added.index = each->index();
    }
    attempt(stage, entries);
    for (entry const& each : entries) (each.again_later ? later : done).append(*each.of);
  }

 private:
  static cell_type& as_item(cell& of) noexcept { return static_cast<cell_type&>(of); }
  static cell_type& as_item(entry const& of) noexcept { return as_item(*of.of); }

  static std::logic_error wrong_number(std::size_t given, std::size_t wanted) {
    return std::logic_error{"the body returned " + std::to_string(given) + " values for a batch of " +
                            std::to_string(wanted) + "; it must return one for each item, in their order"};
  }

  template <class Results>
  static decltype(auto) take(Results& results, std::size_t i) {
    if constexpr (std::is_same_v<R, bool>) return static_cast<bool>(results[i]);
    else return std::move(results[i]);
  }

  made invoke(stage_core& stage, std::span<entry const> entries) {
    batch<item> const items{entries};
    if constexpr (form::takes_token) return body_(stage.stop_token(), items);
    else return body_(items);
  }

  void lend(std::span<entry> entries, bool last) {
    for (entry& each : entries) {
      each.own.reset();
      each.item = &as_item(each).lend_item(each.own, !std::is_const_v<item>, last);
    }
  }

  // Runs the body; where it throws, on one half after the other, until who is to blame stands alone.
  void attempt(stage_core& stage, std::span<entry> entries) noexcept {
    if (entries.size() == 1) return attempt_alone(stage, entries[0]);
    bool thrown = false;
    try {
      lend(entries, false);
      if constexpr (std::is_void_v<made>) {
        invoke(stage, entries);
        for (entry const& each : entries) as_item(each).keep_nothing();
      } else {
        made results = invoke(stage, entries);
        distribute(results, entries);
      }
    } catch (...) {
      thrown = true;
      if (!stage.tries_again(*entries[0].of)) {  // cancelled meanwhile, and so all of them
        for (entry const& each : entries) as_item(each).fail_attempt();
        return;
      }
    }
    if (thrown) {
      attempt(stage, entries.first(entries.size() / 2));
      attempt(stage, entries.subspan(entries.size() / 2));
      return;
    }
    for (entry& each : entries) {
      if (is_to_try_again(stage, each)) attempt_alone(stage, each);
    }
  }

  void attempt_alone(stage_core& stage, entry& one) noexcept {
    cell_type& item_cell = as_item(one);
    int number = 0;
    do {
      number = item_cell.failed_attempts() + 1;
      if (number > 1) stage.count_retry(item_cell);
      try {
        lend({&one, 1}, number >= stage.attempts());
        if constexpr (std::is_void_v<made>) {
          invoke(stage, {&one, 1});
          item_cell.keep_nothing();
        } else {
          made results = invoke(stage, {&one, 1});
          distribute(results, {&one, 1});
        }
      } catch (...) {
        item_cell.fail_attempt();
      }
      // Without memory to count attempts in, there are no more.
    } while (item_cell.failed_attempts() >= number && is_to_try_again(stage, one));
  }

  // Whether another attempt is to follow at once. One that is to come later is marked.
  static bool is_to_try_again(stage_core const& stage, entry& one) noexcept {
    cell_type const& item_cell = as_item(one);
    if (!item_cell.has_failed() || one.hopeless || item_cell.failed_attempts() >= stage.attempts() ||
        !stage.tries_again(item_cell)) {
      return false;
    }
    one.again_later = stage.backoff().count() > 0;
    return !one.again_later;
  }

  // Does not throw for single items.
  template <class Results>
  static void distribute(Results& results, std::span<entry> entries) noexcept {
    if (results.size() != entries.size()) {
      for (entry& each : entries) {
        each.hopeless = true;
        try {
          throw wrong_number(results.size(), entries.size());
        } catch (...) {
          as_item(each).fail_attempt();
        }
      }
      return;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      try {
        if constexpr (form::makes_outcomes) {
          if constexpr (std::is_void_v<R>) {
            results[i].value();
            as_item(entries[i]).keep_nothing();
          } else {
            as_item(entries[i]).keep(std::move(results[i]).value());
          }
        } else {
          as_item(entries[i]).keep(take(results, i));
        }
      } catch (...) {
        as_item(entries[i]).fail_attempt();
      }
    }
  }

  Body body_;
};

}  // namespace penstock::detail
