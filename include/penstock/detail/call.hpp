// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/call_arguments.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>

#include <memory>
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
      if (!this->value_) return this->fail(this->stage().dropped_failure(this->index()), false);
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
    this->fail(this->stage().failure_of_current_exception(this->index(), failed_attempts() + 1), false);
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
  [[nodiscard]] bool has_failed_input() const noexcept final { return self().arguments_.gravest_input() != nullptr; }
  [[nodiscard]] P& lend_item(std::optional<P>& own, bool changed, bool last) final {
    return const_cast<Call&>(self()).arguments_.lend_first(last).place(own, changed);
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
      if constexpr (!arguments::survive_in_batch()) {
        if (stage.batch_limit() > 1) stage.throw_not_repeatable();
      }
      if constexpr (!arguments::survive()) {
        bool const survive = arguments::survive_in_batch() && stage.batch_limit() > 0;
        if (stage.attempts() > 1 && !survive) stage.throw_not_repeatable();
      }
      created->arguments_.claim(*created);
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
    else if (arguments_.subscribe(*this)) stage_core::ready(*this);
  }
  /// The same for one of many calls: it starts when `batch` is told to send what is ready.
  void submit(ready_cells& batch) noexcept {
    if (this->stage().runs_inline()) run_inline();
    else if (arguments_.subscribe(*this)) batch.add(*this);
  }
  /// Nobody will have a future of it; for a new cell.
  void without_future() noexcept { this->renounce_handle(); }

 private:
  using base = call_base<call, R, P...>;
  using arguments = call_arguments<type_list<P...>, type_list<H...>>;
  friend base;

  template <class... A>
  explicit call(stage_core& stage, item_place const& taken, A&&... given)
      : base{stage, taken}, arguments_{std::in_place, std::forward<A>(given)...} {
    if constexpr (arguments::is_charged) bytes_ = taken.bytes;
  }
  ~call() = default;

  void run_inline() noexcept {
    arguments_.wait();
    stage_core::run_inline(*this);
  }

  bool run(failure_ptr refusal) noexcept override {
    bool over = true;
    if (cell const* const failed = arguments_.gravest_input(); failed != nullptr) {
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
      if (number > 1) stage.count_retry(*this);
      try {
        invoke(last);
        this->forget_failure();
        if constexpr (result_of<R>::may_drop) {
          if (!this->value_) this->fail(stage.dropped_failure(this->index()), false);
        }
        return true;
      } catch (...) {
        this->fail(stage.failure_of_current_exception(this->index(), number), false);
      }
      // Without memory to count attempts in, there are no more.
      if (last || this->failed_attempts() < number || !stage.tries_again(*this)) return true;
      if (stage.backoff().count() > 0) return false;
    }
  }

  void release_arguments() noexcept override {
    arguments_.release();
    if constexpr (arguments::is_charged) {
      if (bytes_ != 0) this->stage().discharge_arguments(std::exchange(bytes_, 0));
    }
  }

  void dispose() noexcept override {
    this->~call();
    release_block(this, sizeof(call), alignof(call));
  }

  void invoke(bool last) {
    stage_core& stage = this->stage();
    auto& body = *static_cast<erased_body<R, P...>*>(stage.body());
    if constexpr (std::is_void_v<R>) {
      arguments_.pass_to(last, body, stage);
      this->value_.emplace();
    } else if constexpr (result_of<R>::may_drop) {
      this->value_ = arguments_.pass_to(last, body, stage);
      if (this->value_) this->note_result();
    } else {
      this->value_.emplace(arguments_.pass_to(last, body, stage));
      this->note_result();
    }
  }

  [[no_unique_address]] arguments arguments_;
  [[no_unique_address]] std::conditional_t<arguments::is_charged, std::size_t, std::tuple<>> bytes_{};
};

}  // namespace penstock::detail
