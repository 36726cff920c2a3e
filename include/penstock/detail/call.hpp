// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace penstock::detail {

/// A body of any type behind its signature.
template <class R, class... P>
class erased_body {
 public:
  virtual ~erased_body() = default;
  /// `stage` is asked for its stop token if the body takes one.
  virtual R call(stage_core& stage, P... parameters) = 0;
  /// The same body, if it takes batches; else null.
  virtual batch_body* as_batch_body() noexcept { return nullptr; }
};

template <class Body, class R, class... P>
class stored_body final : public erased_body<R, P...> {
 public:
  template <class B>
  explicit stored_body(B&& body) : body_(std::forward<B>(body)) {}
  R call(stage_core& stage, P... parameters) override {
    if constexpr (takes_stop_token<Body, R, P...>) return invoke(stage.stop_token(), std::forward<P>(parameters)...);
    else return invoke(std::forward<P>(parameters)...);
  }

 private:
  template <class... A>
  R invoke(A&&... arguments) {
    if constexpr (std::is_void_v<R>) body_(std::forward<A>(arguments)...);
    else return body_(std::forward<A>(arguments)...);
  }

  Body body_;
};

/// Which holders keep arguments A... for parameters P..., in order, and whether they fill them exactly.
template <bool Unpack, class Parameters, class Holders, std::size_t At, class... A>
struct matching;

template <bool Unpack, class... P, class... H, std::size_t At>
struct matching<Unpack, type_list<P...>, type_list<H...>, At> {
  static constexpr bool fits = At == sizeof...(P);
  using holders = type_list<H...>;
};
template <bool Unpack, class... P, class... H, std::size_t At, class First, class... Rest>
  requires(At <= sizeof...(P))
struct matching<Unpack, type_list<P...>, type_list<H...>, At, First, Rest...> {
  using first = typename holder_of<Unpack, First, At, P...>::type;
  using next = matching<Unpack, type_list<P...>, type_list<H..., first>, At + first::parameters, Rest...>;
  static constexpr bool fits = next::fits;
  using holders = typename next::holders;
};
template <bool Unpack, class... P, class... H, std::size_t At, class First, class... Rest>
  requires(At > sizeof...(P))
struct matching<Unpack, type_list<P...>, type_list<H...>, At, First, Rest...> {
  static constexpr bool fits = false;
  using holders = type_list<H...>;
};

/// A cell whose parameter can be one item of a batch, whatever holds its argument.
template <class R, class P>
class batch_item : public result_cell<typename result_of<R>::type> {
 public:
  [[nodiscard]] virtual bool has_failed_input() const noexcept = 0;
  /// The item, for one run of the body; see lent::place().
  [[nodiscard]] virtual P& lend_item(std::optional<P>& own, bool changed, bool last) = 0;

  using cell::failed_attempts;
  template <class Result>
  void keep(Result&& given) {
    if constexpr (result_of<R>::may_drop) {
      this->value_ = std::forward<Result>(given);
      if (!this->value_) return this->fail(this->stage().dropped_failure(*this), false);
    } else {
      this->value_.emplace(std::forward<Result>(given));
    }
    this->note_result();
    this->forget_failure();
  }
  void keep_nothing() noexcept {
    this->value_.emplace();
    this->forget_failure();
  }
  /// What is being handled has ended one more attempt; call it in the handler.
  void fail_attempt() noexcept {
    this->fail(this->stage().failure_of_current_exception(*this, failed_attempts() + 1), false);
  }

 protected:
  using result_cell<typename result_of<R>::type>::result_cell;
  ~batch_item() = default;
};

/// The part of a call that depends on whether it can be in a batch.
template <class Call, class R, class... P>
class call_base : public result_cell<typename result_of<R>::type> {
 protected:
  ~call_base() = default;

 private:
  friend Call;
  call_base(stage_core& stage, place const& taken) noexcept : result_cell<typename result_of<R>::type>{stage, taken} {}
};
template <class Call, class R, class P>
  requires is_batchable<R, P>
class call_base<Call, R, P> : public batch_item<R, P> {
 public:
  [[nodiscard]] bool has_failed_input() const noexcept final { return self().gravest_input() != nullptr; }
  [[nodiscard]] P& lend_item(std::optional<P>& own, bool changed, bool last) final {
    return const_cast<Call&>(self()).lend_first(last).place(own, changed);
  }

 protected:
  ~call_base() = default;

 private:
  friend Call;
  call_base(stage_core& stage, place const& taken) noexcept : batch_item<R, P>{stage, taken} {}

  [[nodiscard]] Call const& self() const noexcept { return static_cast<Call const&>(*this); }
};

/// The cell of one call of a body R(P...), with its arguments in holders H.
template <class Signature, class Holders>
class call;

template <class R, class... P, class... H>
class call<R(P...), type_list<H...>> final : public call_base<call<R(P...), type_list<H...>>, R, P...> {
 public:
  /// A new cell, with a handle for a future. Its inputs are claimed, and nobody knows it yet.
  /// Throws what copying or converting an argument throws, already_gathered, and std::invalid_argument where an argument
  /// does not survive an attempt and there may be several; then no argument future has left its stage's gather.
  template <class... A>
  static call& create(stage_core& stage, item_place const& taken, A&&... arguments) {
    void* const block = acquire_block(sizeof(call), alignof(call));
    call* created = nullptr;
    try {
      created = ::new (block) call(stage, taken, std::forward<A>(arguments)...);
      created->check_attempts();
      created->claim();
      return *created;
    } catch (...) {
      if (created != nullptr) created->~call();
      release_block(block, sizeof(call), alignof(call));
      throw;
    }
  }

  /// The call may run from now on, as soon as its inputs are there.
  void submit() noexcept {
    if (this->stage().runs_inline()) run_inline();
    else if (subscribe()) stage_core::ready(*this);
  }
  /// The same for one of many calls: it starts when `batch` is told to send what is ready.
  void submit(ready_cells& batch) noexcept {
    if (this->stage().runs_inline()) run_inline();
    else if (subscribe()) batch.add(*this);
  }
  /// Nobody will have a future of it; for a new cell.
  void without_future() noexcept { this->renounce_handle(); }

 private:
  using base = call_base<call, R, P...>;
  friend base;
  static constexpr bool is_charged = (H::is_charged || ...);
  static constexpr std::size_t inputs = (std::size_t{0} + ... + H::inputs);

  template <class... A>
  explicit call(stage_core& stage, item_place const& taken, A&&... arguments)
      : base{stage, taken}, holders_(std::forward<A>(arguments)...) {
    if constexpr (is_charged) bytes_ = taken.bytes;
  }
  ~call() = default;

  // Whether all inputs are there already. If not, the cell may have run when this returns.
  bool subscribe() noexcept {
    if constexpr (inputs == 0) {
      return true;
    } else if constexpr (inputs == 1) {  // no count is needed
      return std::apply([this](auto&... holder) { return (this->subscribe_only(holder) || ...); }, holders_);
    } else {
      std::apply([this](auto&... holder) { (holder.subscribe(*this), ...); }, holders_);
      return this->notify() != nullptr;
    }
  }
  template <class Holder>
  bool subscribe_only(Holder& holder) noexcept {
    if constexpr (Holder::inputs == 1) return !holder.subscribe_only(*this);
    else return false;
  }

  void run_inline() noexcept {
    std::apply([](auto&... holder) { (holder.wait(), ...); }, holders_);
    stage_core::run_inline(*this);
  }

  void claim() {
    constexpr bool reserve = inputs > 1;  // one alone is never undone
    try {
      std::apply([this](auto&... holder) { (holder.claim(*this, reserve), ...); }, holders_);
    } catch (...) {
      if constexpr (reserve) std::apply([](auto&... holder) { (holder.unclaim(), ...); }, holders_);
      throw;
    }
    if constexpr (reserve) std::apply([](auto&... holder) { (holder.commit(), ...); }, holders_);
  }

  bool run(failure_ptr refusal) noexcept override {
    bool over = true;
    if (cell const* const failed = gravest_input(); failed != nullptr) {
      this->fail(failed->failed(), true);
    } else if (refusal == nullptr) {
      over = attempt();
    } else if (this->failed() == nullptr) {  // else what the last attempt threw says more
      this->fail(std::move(refusal), false);
    }
    if (over) release_arguments();
    return over;
  }

  // False when another attempt is to come later.
  bool attempt() noexcept {
    stage_core& stage = this->stage();
    for (;;) {
      int const number = this->failed_attempts() + 1;
      bool const last = number >= stage.attempts();
      if (number > 1) stage.count_retry();
      try {
        invoke(last, std::index_sequence_for<P...>{});
        this->forget_failure();
        if constexpr (result_of<R>::may_drop) {
          if (!this->value_) this->fail(stage.dropped_failure(*this), false);
        }
        return true;
      } catch (...) {
        this->fail(stage.failure_of_current_exception(*this, number), false);
      }
      // Without memory to count attempts in, there are no more.
      if (last || this->failed_attempts() < number || !stage.tries_again(*this)) return true;
      if (stage.backoff().count() > 0) return false;
    }
  }

  void release_arguments() noexcept override {
    std::apply([](auto&... holder) { (holder.release(), ...); }, holders_);
    if constexpr (is_charged) {
      if (bytes_ != 0) this->stage().discharge_arguments(std::exchange(bytes_, 0));
    }
  }

  void dispose() noexcept override {
    this->~call();
    release_block(this, sizeof(call), alignof(call));
  }

  cell const* gravest_input() const noexcept {
    cell const* gravest = nullptr;
    std::apply([&gravest](auto const&... holder) { ((gravest = graver(gravest, holder.failed())), ...); }, holders_);
    return gravest;
  }

  // Where parameter K comes from: the holder, and the element of what it holds.
  struct source {
    std::size_t holder;
    std::size_t element;
  };
  static constexpr std::array<source, sizeof...(P)> sources = [] {
    std::array<source, sizeof...(P)> found{};
    std::size_t at = 0;
    std::size_t holder = 0;
    [[maybe_unused]] auto const add = [&](std::size_t parameters) {
      for (std::size_t element = 0; element < parameters; ++element) found[at++] = {holder, element};
      ++holder;
    };
    (add(H::parameters), ...);
    return found;
  }();

  template <std::size_t K>
  using lent_to = decltype(std::declval<std::tuple_element_t<sources[K].holder, std::tuple<H...>>&>()
                               .template lend<sources[K].element, std::tuple_element_t<K, std::tuple<P...>>>(true));

  void check_attempts() const {
    stage_core& stage = this->stage();
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      if constexpr (!(lent_to<K>::survives_in_batch && ...)) {
        if (stage.batch_limit() > 1) stage.throw_not_repeatable();
      }
      if constexpr (!(lent_to<K>::survives && ...)) {
        if (stage.attempts() > 1 && !((stage.batch_limit() > 0 && lent_to<K>::survives_in_batch) && ...)) {
          stage.throw_not_repeatable();
        }
      }
    }(std::index_sequence_for<P...>{});
  }

  // What parameter 0 is lent by, for a batch.
  auto lend_first(bool last) {
    return std::get<sources[0].holder>(holders_)
        .template lend<sources[0].element, std::tuple_element_t<0, std::tuple<P...>>>(last);
  }

  template <std::size_t... K>
  void invoke([[maybe_unused]] bool last, std::index_sequence<K...>) {
    // The values stay in their holders until the body has returned; `lent` objects only point to them.
    auto parameters = std::tuple{std::get<sources[K].holder>(holders_).template lend<sources[K].element, P>(last)...};
    auto& body = *static_cast<erased_body<R, P...>*>(this->stage().body());
    if constexpr (std::is_void_v<R>) {
      body.call(this->stage(), std::get<K>(parameters).get()...);
      this->value_.emplace();
    } else if constexpr (result_of<R>::may_drop) {
      this->value_ = body.call(this->stage(), std::get<K>(parameters).get()...);
      if (this->value_) this->note_result();
    } else {
      this->value_.emplace(body.call(this->stage(), std::get<K>(parameters).get()...));
      this->note_result();
    }
  }

  [[no_unique_address]] std::tuple<H...> holders_;
  [[no_unique_address]] std::conditional_t<is_charged, std::size_t, std::tuple<>> bytes_{};
};

}  // namespace penstock::detail
