// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/cell.hpp>
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
  virtual R call(P... parameters) = 0;
};

template <class Body, class R, class... P>
class stored_body final : public erased_body<R, P...> {
 public:
  template <class B>
  explicit stored_body(B&& body) : body_(std::forward<B>(body)) {}
  R call(P... parameters) override {
    if constexpr (std::is_void_v<R>) body_(std::forward<P>(parameters)...);
    else return body_(std::forward<P>(parameters)...);
  }

 private:
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

/// The cell of one call of a body R(P...), with its arguments in holders H.
template <class Signature, class Holders>
class call;

template <class R, class... P, class... H>
class call<R(P...), type_list<H...>> final : public result_cell<std::remove_cvref_t<R>> {
 public:
  /// A new cell, with a handle for a future. Its inputs are claimed, and nobody knows it yet.
  /// Throws what copying or converting an argument throws, and already_gathered; then no argument future has left its
  /// stage's gather.
  template <class... A>
  static call& create(stage_core& stage, place const& taken, A&&... arguments) {
    void* const block = acquire_block(sizeof(call), alignof(call));
    call* created = nullptr;
    try {
      created = ::new (block) call(stage, taken, std::forward<A>(arguments)...);
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
    if (subscribe()) stage_core::ready(*this);
  }

 private:
  using base = result_cell<std::remove_cvref_t<R>>;
  static constexpr std::size_t inputs = (std::size_t{0} + ... + H::inputs);

  template <class... A>
  explicit call(stage_core& stage, place const& taken, A&&... arguments)
      : base{stage, taken}, holders_(std::forward<A>(arguments)...) {}
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

  void claim() {
    constexpr bool reserve = inputs > 1;  // one alone is never undone
    try {
      std::apply([](auto&... holder) { (holder.claim(reserve), ...); }, holders_);
    } catch (...) {
      if constexpr (reserve) std::apply([](auto&... holder) { (holder.unclaim(), ...); }, holders_);
      throw;
    }
    if constexpr (reserve) std::apply([](auto&... holder) { (holder.commit(), ...); }, holders_);
  }

  void run(failure_ptr refusal) noexcept override {
    if (cell const* const failed = first_failed_input(); failed != nullptr) {
      this->fail(failed->failed(), true);
    } else if (refusal != nullptr) {
      this->fail(std::move(refusal), false);
    } else {
      try {
        invoke(std::index_sequence_for<P...>{});
      } catch (...) {
        this->fail(this->stage().describe_current_exception(*this), false);
      }
    }
    release_arguments();
  }

  void release_arguments() noexcept override {
    std::apply([](auto&... holder) { (holder.release(), ...); }, holders_);
  }

  void dispose() noexcept override {
    this->~call();
    release_block(this, sizeof(call), alignof(call));
  }

  cell const* first_failed_input() const noexcept {
    cell const* failed = nullptr;
    std::apply([&failed](auto const&... holder) { (void)(((failed = holder.failed()) != nullptr) || ...); }, holders_);
    return failed;
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
    auto const add = [&](std::size_t parameters) {
      for (std::size_t element = 0; element < parameters; ++element) found[at++] = {holder, element};
      ++holder;
    };
    (add(H::parameters), ...);
    return found;
  }();

  template <std::size_t... K>
  void invoke(std::index_sequence<K...>) {
    // The values stay in their holders until the body has returned; `lent` objects only point to them.
    auto parameters = std::tuple{std::get<sources[K].holder>(holders_).template lend<sources[K].element, P>()...};
    auto& body = *static_cast<erased_body<R, P...>*>(this->stage().body());
    if constexpr (std::is_void_v<R>) {
      body.call(std::get<K>(parameters).get()...);
      this->value_.emplace();
    } else {
      this->value_.emplace(body.call(std::get<K>(parameters).get()...));
    }
  }

  [[no_unique_address]] std::tuple<H...> holders_;
};

}  // namespace penstock::detail
