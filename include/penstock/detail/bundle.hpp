// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/call.hpp>
#include <penstock/detail/call_arguments.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/outlet.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

// Many items in one cell: what scatter_many() makes of them where bodies are short, so that they share what a cell costs.
namespace penstock::detail {

/// Calls of one body that were scattered one after the other, without futures. To the lists of a stage it is one cell, with
/// the entry of its first item; the stage's runners claim its items one by one, as many at once as there are slots, and
/// streams take them one by one, so one that takes long holds up no other. It is finished when all its items are.
class bundle : public cell {
 public:
  static constexpr std::size_t most = 64;

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// The result of item `at`, or why it has none, is there.
  [[nodiscard]] bool has_ended(std::uint32_t at) const noexcept { return ends_[at].load(std::memory_order_acquire); }
  /// Why item `at`, which has ended, has no value; null when it has one.
  [[nodiscard]] failure_ptr const* failure_of(std::uint32_t at) const noexcept {
    return (without_value_.load(std::memory_order_acquire) >> at & 1U) != 0 ? &recorded_failure_of(at) : nullptr;
  }
  /// The same, null also for one that was dropped.
  [[nodiscard]] failure_ptr const* error_of(std::uint32_t at) const noexcept {
    failure_ptr const* const why = failure_of(at);
    return why != nullptr && (*why)->kind != error_kind::dropped ? why : nullptr;
  }

  /// Items that nobody can be given any more: a stream or a gather has taken them, or their stage discards results.
  [[nodiscard]] std::uint64_t given() const noexcept { return given_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_given(std::uint32_t at) const noexcept { return (given() >> at & 1U) != 0; }
  void give(std::uint32_t at) noexcept { given_.fetch_or(std::uint64_t{1} << at, std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t left() const noexcept {
    return size_ - static_cast<std::uint32_t>(std::popcount(given()));
  }
  [[nodiscard]] std::uint32_t first_left() const noexcept {
    return static_cast<std::uint32_t>(std::countr_one(given()));
  }
  /// The next item to be given out: it has ended, and is the first that is left, or any. size() when there is none.
  [[nodiscard]] std::uint32_t next_left(bool in_order) const noexcept {
    for (std::uint32_t at = first_left(); at < size_; ++at) {
      bool const has_ended_first = has_ended(at);  // a discarded item is given before that can be seen
      if (is_given(at)) continue;
      if (has_ended_first) return at;
      if (in_order) break;
    }
    return size_;
  }
  /// The first error of an item that is left, and has ended; null when there is none.
  [[nodiscard]] failure_ptr const* first_error() const noexcept {
    if (without_value_.load(std::memory_order_acquire) == 0) return nullptr;
    for (std::uint32_t at = 0; at < size_; ++at) {
      failure_ptr const* const why = is_given(at) ? nullptr : error_of(at);
      if (why != nullptr) return why;
    }
    return nullptr;
  }

  bundle* next_read = nullptr;  // for the stream that has it

 protected:
  bundle(stage_core& stage, place const& taken, std::uint32_t size, std::atomic<bool>* room_for_ends) noexcept
      : cell{stage, taken}, size_{size}, keeps_values_{!stage.discards()}, ends_{room_for_ends} {
    std::uninitialized_value_construct_n(ends_, size);
    set(many);
  }
  ~bundle() { delete[] failures_.load(std::memory_order_relaxed); }

  void fail_item(std::uint32_t at, failure_ptr why) noexcept;
  [[nodiscard]] bool keeps_values() const noexcept { return keeps_values_; }

 private:
  friend class stage_core;
  friend class stage_state;
  friend class order_list;

  // Claims the first item that nobody had claimed: size() when there is none.
  [[nodiscard]] std::uint32_t claim() noexcept {
    return claim([](std::uint32_t /*left*/) { return 1U; });
  }
  // Claims all that nobody had claimed; the first of them.
  [[nodiscard]] std::uint32_t claim_rest() noexcept {
    return claim([](std::uint32_t left) { return left; });
  }
  // Whoever has claimed an item has ended it, and claims another one. At size() or more there was none; it is to call
  // end() then.
  [[nodiscard]] std::uint32_t claim_next() noexcept { return claimed_in(state_.fetch_add(1)); }
  // So many claimed items have ended, and their owner claims no more: whether they were the last.
  [[nodiscard]] bool end(std::uint32_t items) noexcept {
    std::uint64_t const now = state_.fetch_sub(items * one_running) - items * one_running;
    return now < one_running && claimed_in(now) >= size_;
  }
  [[nodiscard]] bool is_claimed() const noexcept { return claimed() == size_; }
  [[nodiscard]] std::uint32_t claimed() const noexcept {
    return std::min(size_, claimed_in(state_.load(std::memory_order_relaxed)));
  }
  // At least so many items have ended.
  [[nodiscard]] std::uint32_t ended() const noexcept {
    std::uint64_t const now = state_.load();
    return std::min(size_, claimed_in(now)) - static_cast<std::uint32_t>(now / one_running);
  }

  static constexpr std::uint64_t one_running = std::uint64_t{1} << 32U;
  static std::uint32_t claimed_in(std::uint64_t state) noexcept { return static_cast<std::uint32_t>(state); }
  [[nodiscard]] std::uint32_t claim(auto const& how_many) noexcept {
    std::uint64_t now = state_.load();
    std::uint64_t claims = 0;
    do {
      if (claimed_in(now) >= size_) return size_;
      claims = how_many(size_ - claimed_in(now));
    } while (!state_.compare_exchange_weak(now, now + claims * (one_running + 1)));
    return claimed_in(now);
  }

  /// Runs the body on a claimed item, or refuses to. Its arguments are gone then.
  virtual void run_item(std::uint32_t at) noexcept = 0;
  virtual void refuse_item(std::uint32_t at, failure_ptr why) noexcept = 0;

  [[nodiscard]] failure_ptr const& recorded_failure_of(std::uint32_t at) const noexcept;

  bool run(failure_ptr /*items are run one by one*/) noexcept final { return true; }
  void release_arguments() noexcept final {}

  std::uint32_t size_;
  bool keeps_values_;                    // until they are given
  std::atomic<bool>* ends_;              // one for each item: whether it has ended
  std::atomic<std::uint64_t> state_{0};  // how many items are claimed, and above it, those of them that have not ended
  // These guarded by the stage's ready_mutex_.
  bundle* next_shared_ = nullptr;
  bool is_shared_ = false;                // in the list of those that runners work on
  std::uint32_t seen_claimed_ = 0;        // when a runner looked last
  std::uint32_t counted_ = 0;             // ended items that the stage's word counts
  std::atomic<std::uint32_t> unread_{0};  // items that the order list counts as unread; only written so

  std::atomic<std::uint64_t> given_{0};          // a bit for each item
  std::atomic<std::uint64_t> without_value_{0};  // the same
  std::atomic<failure_ptr*> failures_{nullptr};  // of these, with an element for every item; null where there are none
};
static_assert(bundle::most <= 64, "an item has a bit in without_value_");

/// The cell as a bundle; null for a cell of one item.
inline bundle* bundle_in(cell& asked) noexcept { return asked.is_bundle() ? static_cast<bundle*>(&asked) : nullptr; }
inline bundle const* bundle_in(cell const& asked) noexcept {
  return asked.is_bundle() ? static_cast<bundle const*>(&asked) : nullptr;
}

/// A bundle with results of type T.
template <class T>
class result_bundle : public bundle {
 public:
  using stored = typename result_cell<T>::stored;

  /// The result of an item that has ended, has one, and was not given.
  [[nodiscard]] stored& value(std::uint32_t at) noexcept { return results_[at]; }

 protected:
  result_bundle(stage_core& stage, place const& taken, std::uint32_t size, std::atomic<bool>* room_for_ends,
                stored* room_for_results) noexcept
      : bundle{stage, taken, size, room_for_ends}, results_{room_for_results} {}
  ~result_bundle() {
    if constexpr (!std::is_trivially_destructible_v<stored>) {
      for (std::uint32_t at = 0; keeps_values() && at < size(); ++at) {
        if (failure_of(at) == nullptr) std::destroy_at(results_ + at);
      }
    }
  }

  // The item has ended. Nobody wants its result, if the stage discards them; nor to know that it was dropped.
  void discard_item(std::uint32_t at) noexcept {
    if (keeps_values() || error_of(at) != nullptr) return;
    if (failure_of(at) == nullptr) std::destroy_at(results_ + at);
    give(at);
  }
  [[nodiscard]] stored* results() noexcept { return results_; }

 private:
  stored* results_;  // raw memory where there is none
};

/// Whether calls of a body R(P...) with arguments in holders H can be bundled: they are values without a size of their own,
/// which survive attempts, and so are results.
template <class Signature, class Holders>
inline constexpr bool can_be_bundled = false;
template <class R, class... P, class... H>
  requires((H::inputs == 0 && !H::is_charged) && ...)
inline constexpr bool can_be_bundled<R(P...), type_list<H...>> = [] {
  using arguments = call_arguments<type_list<P...>, type_list<H...>>;
  using stored = typename result_cell<typename result_of<R>::type>::stored;
  return arguments::survive() && has_fixed_size<stored> && alignof(arguments) <= alignof(std::max_align_t) &&
         alignof(stored) <= alignof(std::max_align_t);
}();

/// Such calls.
template <class Signature, class Holders>
class bundled_calls;

template <class R, class... P, class... H>
class bundled_calls<R(P...), type_list<H...>> final : public result_bundle<typename result_of<R>::type> {
  using base = result_bundle<typename result_of<R>::type>;
  using typename base::stored;
  using arguments = call_arguments<type_list<P...>, type_list<H...>>;

 public:
  /// For how many there is room in a block of memory that is no burden for the allocator.
  static constexpr std::size_t room =
      std::min(bundle::most, std::size_t{8'192} / (sizeof(arguments) + sizeof(stored) + sizeof(std::atomic<bool>)));

  /// One for `size` calls, whose arguments are to be put in. Throws std::bad_alloc.
  static bundled_calls& create(stage_core& stage, place const& first, std::uint32_t size) {
    void* const block = acquire_block(block_size(size), alignof(bundled_calls));
    return *::new (block) bundled_calls(stage, first, size);
  }
  template <class... A>
  void put(std::uint32_t at, A&&... given) noexcept {
    ::new (arguments_ + at) arguments{std::in_place, std::forward<A>(given)...};
  }

 private:
  bundled_calls(stage_core& stage, place const& first, std::uint32_t size) noexcept
      : base{stage, first, size, at_offset<std::atomic<bool>>(ends_offset(size)), at_offset<stored>(0)},
        arguments_{at_offset<arguments>(arguments_offset(size))} {}
  ~bundled_calls() = default;

  // Behind the cell: results, arguments, and who has ended.
  static constexpr std::size_t aligned(std::size_t offset) noexcept {
    constexpr std::size_t to = alignof(std::max_align_t);
    return (offset + to - 1) / to * to;
  }
  static constexpr std::size_t arguments_offset(std::size_t count) noexcept { return aligned(count * sizeof(stored)); }
  static constexpr std::size_t ends_offset(std::size_t count) noexcept {
    return arguments_offset(count) + count * sizeof(arguments);
  }
  static constexpr std::size_t block_size(std::size_t count) noexcept {
    return sizeof(bundled_calls) + ends_offset(count) + count * sizeof(std::atomic<bool>);
  }
  template <class Kind>
  Kind* at_offset(std::size_t offset) noexcept {
    return reinterpret_cast<Kind*>(reinterpret_cast<std::byte*>(this) + sizeof(bundled_calls) + offset);
  }

  void run_item(std::uint32_t at) noexcept override {
    attempt(at);
    std::destroy_at(arguments_ + at);
    this->discard_item(at);
  }
  void refuse_item(std::uint32_t at, failure_ptr why) noexcept override {
    this->fail_item(at, std::move(why));
    std::destroy_at(arguments_ + at);
  }

  void attempt(std::uint32_t at) noexcept {
    stage_core& stage = this->stage();
    auto& body = *static_cast<erased_body<R, P...>*>(stage.body());
    for (int number = 1;; ++number) {
      bool const last = number >= stage.attempts();
      if (number > 1) stage.count_retry(*this);
      try {
        bool const kept = produce<R>({.to = this->results() + at, .is_optional = false},
                                     [&]() -> R { return arguments_[at].pass_to(last, body, stage); });
        if (!kept) this->fail_item(at, stage.dropped_failure(this->index() + at));
        return;
      } catch (...) {
        failure_ptr why = stage.failure_of_current_exception(this->index() + at, number);
        if (last || !stage.tries_again(*this)) return this->fail_item(at, std::move(why));
        why->observed.store(true, std::memory_order_relaxed);  // another attempt decides
      }
    }
  }

  void dispose() noexcept override {
    std::size_t const size = block_size(this->size());
    this->~bundled_calls();
    release_block(this, size, alignof(bundled_calls));
  }

  arguments* arguments_;  // of items that have not ended; else raw memory
};

/// Calls f(index, failure, inherited, take) for each item of a gathered cell: without a failure it has a result, which
/// take() gives.
template <class T>
void for_each_item(cell& finished, auto const& f) {
  if (bundle* const many = bundle_in(finished)) {
    for (std::uint32_t at = 0; at < many->size(); ++at) {
      if (many->is_given(at)) continue;
      f(many->index() + at, many->failure_of(at), false, [&]() -> typename result_cell<T>::stored {
        return std::move(static_cast<result_bundle<T>*>(many)->value(at));
      });
      // What throws leaves the others to be gathered.
      if constexpr (!std::is_nothrow_move_constructible_v<typename result_cell<T>::stored>) many->give(at);
    }
    return;
  }
  f(finished.index(), finished.failed() ? &finished.failed() : nullptr, finished.failure_was_inherited(),
    [&]() ->
    typename result_cell<T>::stored { return static_cast<result_cell<T>&>(finished).take(finished.no_handle()); });
}

}  // namespace penstock::detail
