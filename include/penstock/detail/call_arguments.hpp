// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace penstock::detail {

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

/// make(Holders{}) with the type_list of holders that keep arguments A... for the parameters of a body of `stage`. Throws
/// std::invalid_argument where they fit only if a tuple is unpacked, and the stage does not do that.
template <class Parameters, class... A>
auto with_holders(stage_core const& stage, auto const& make) {
  using unpacked = matching<true, Parameters, type_list<>, 0, A...>;
  using whole = matching<false, Parameters, type_list<>, 0, A...>;
  static_assert(unpacked::fits || whole::fits,
                "scatter: the arguments do not fill the body's parameters one for one (the future of a tuple fills one "
                "parameter an element, the future of void none)");
  if constexpr (!unpacked::fits || std::is_same_v<typename unpacked::holders, typename whole::holders>) {
    return make(typename whole::holders{});
  } else {
    if (stage.unpacks()) return make(typename unpacked::holders{});
    if constexpr (whole::fits) return make(typename whole::holders{});
    else stage.throw_not_unpacked();
  }
}

/// The arguments of one call, in holders H, for a body with parameters P.
template <class Parameters, class Holders>
class call_arguments;

template <class... P, class... H>
class call_arguments<type_list<P...>, type_list<H...>> {
  static constexpr std::size_t inputs = (std::size_t{0} + ... + H::inputs);

 public:
  /// Whether the scattering thread counts the bytes of what a holder keeps.
  static constexpr bool is_charged = (H::is_charged || ...);

  template <class... A>
  explicit call_arguments(std::in_place_t, A&&... arguments) : holders_(std::forward<A>(arguments)...) {}

  /// Takes the inputs of `self` out of their stages' gathers. Throws already_gathered; then none has left its gather.
  void claim(cell const& self) {
    constexpr bool reserve = inputs > 1;  // one alone is never undone
    try {
      std::apply([&self](auto&... holder) { (holder.claim(self, reserve), ...); }, holders_);
    } catch (...) {
      if constexpr (reserve) std::apply([](auto&... holder) { (holder.unclaim(), ...); }, holders_);
      throw;
    }
    if constexpr (reserve) std::apply([](auto&... holder) { (holder.commit(), ...); }, holders_);
  }
  /// Whether all inputs of `self` are there already. If not, the cell may have run when this returns.
  bool subscribe(cell& self) noexcept {
    if constexpr (inputs == 0) {
      return true;
    } else if constexpr (inputs == 1) {  // no count is needed
      return std::apply([&self](auto&... holder) { return (subscribe_only(self, holder) || ...); }, holders_);
    } else {
      std::apply([&self](auto&... holder) { (holder.subscribe(self), ...); }, holders_);
      return self.notify() != nullptr;
    }
  }
  /// Blocks until all inputs are finished.
  void wait() noexcept {
    std::apply([](auto&... holder) { (holder.wait(), ...); }, holders_);
  }
  void release() noexcept {
    std::apply([](auto&... holder) { (holder.release(), ...); }, holders_);
  }
  /// The input that decides that the body does not run; null when all have a value.
  [[nodiscard]] cell const* gravest_input() const noexcept {
    cell const* gravest = nullptr;
    std::apply([&gravest](auto const&... holder) { ((gravest = graver(gravest, holder.failed())), ...); }, holders_);
    return gravest;
  }

  /// Whether all arguments are as they were after an attempt that was not the last possible one.
  [[nodiscard]] static constexpr bool survive() noexcept {
    return []<std::size_t... K>(std::index_sequence<K...>) {
      return (lent_to<K>::survives && ...);
    }(std::index_sequence_for<P...>{});
  }
  /// The same, as far as lend_first() is concerned.
  [[nodiscard]] static constexpr bool survive_in_batch() noexcept {
    return []<std::size_t... K>(std::index_sequence<K...>) {
      return (lent_to<K>::survives_in_batch && ...);
    }(std::index_sequence_for<P...>{});
  }
  /// What the only parameter is lent by, to a body that takes many at once.
  auto lend_first(bool last) {
    return std::get<sources[0].holder>(holders_)
        .template lend<sources[0].element, std::tuple_element_t<0, std::tuple<P...>>>(last);
  }
  /// callee.call(before..., parameters...); the `last` attempt moves what can be moved.
  template <class Callee, class... Before>
  decltype(auto) pass_to(bool last, Callee& callee, Before&... before) {
    return pass_to(std::index_sequence_for<P...>{}, last, callee, before...);
  }

 private:
  template <class Holder>
  static bool subscribe_only(cell& self, Holder& holder) noexcept {
    if constexpr (Holder::inputs == 1) return !holder.subscribe_only(self);
    else return false;
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

  template <std::size_t... K, class Callee, class... Before>
  decltype(auto) pass_to(std::index_sequence<K...>, [[maybe_unused]] bool last, Callee& callee, Before&... before) {
    // The values stay in their holders until the body has returned; `lent` objects only point to them.
    [[maybe_unused]] auto parameters =  // NOLINT(misc-const-correctness): it is none where there are no parameters
        std::tuple{std::get<sources[K].holder>(holders_).template lend<sources[K].element, P>(last)...};
    return callee.call(before..., std::get<K>(parameters).get()...);
  }

  [[no_unique_address]] std::tuple<H...> holders_;
};

}  // namespace penstock::detail
