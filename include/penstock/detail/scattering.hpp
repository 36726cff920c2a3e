// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/bundle.hpp>
#include <penstock/detail/call_arguments.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/future.hpp>
#include <penstock/stream.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

namespace penstock::detail {

/// What the scatter functions of a stage or a pipeline do; Front is its type, P... are its parameters. Front has port(),
/// which gives and takes back places, and create(), which makes the cell for arguments and passes it to a function that
/// does not throw; if it throws, it has given the place back.
template <class Front, class... P>
class scattering {
 public:
  template <class... A>
  static std::size_t bytes_of(A const&... arguments) {
    return (std::size_t{0} + ... + argument_bytes(arguments));
  }
  template <class Element>
  static std::size_t bytes_of_element(Element const& element) {
    if constexpr (sizeof...(P) == 1) return bytes_of(element);
    else return std::apply([](auto const&... each) { return bytes_of(each...); }, element);
  }

  template <class... A>
  static auto scatter(Front& front, A&&... arguments) {
    return launch(front, front.port().admit(nullptr, bytes_of(arguments...)), std::forward<A>(arguments)...);
  }
  template <class... A>
  static auto try_scatter(Front& front, A&&... arguments)
      -> std::optional<decltype(scatter(front, std::forward<A>(arguments)...))> {
    auto const admitted = front.port().try_admit(bytes_of(arguments...));
    if (!admitted) return std::nullopt;
    return launch(front, *admitted, std::forward<A>(arguments)...);
  }

  /// In a place that it has.
  template <class... A>
  static auto launch(Front& front, auto const& at, A&&... arguments) {
    return front.create(
        at,
        [](auto& created) {
          future<typename Front::result_type> made{created};
          stage_core::publish(created);
          created.submit();
          return made;
        },
        std::forward<A>(arguments)...);
  }

  template <class Range>
  static void scatter_many(Front& front, Range&& range) {
    if constexpr (check_elements<Range>()) scatter_elements(front, std::forward<Range>(range));
  }

  template <class Window, class Source>
  static auto stream(Front& front, Source&& source) {
    (void)check_elements<Source>();
    using view = std::views::all_t<Source>;
    return outcome_stream{source_reader<Front, view, Window>{front, std::views::all(std::forward<Source>(source))}};
  }
  /// The cell of an element, which nobody gathers: a stream waits for it.
  template <class Element>
  static auto launch_claimed(Front& front, auto const& at, Element&& element) {
    return create_from(
        front, at,
        [](auto& created) {
          cell_handle<result_cell<typename Front::result_type>> made{created};
          stage_core::publish(created);
          (void)stage_core::claim(created);
          created.add_consumer();
          created.submit();
          return made;
        },
        std::forward<Element>(element));
  }

 private:
  template <class Range>
  static constexpr bool check_elements() {
    using element = std::remove_cvref_t<std::ranges::range_reference_t<Range>>;
    constexpr bool fit = sizeof...(P) == 1 || requires { typename std::tuple_size<element>::type; };
    static_assert(fit,
                  "where the body has several parameters, an element must be a std::tuple or std::pair of arguments");
    return fit;
  }
  template <class Range>
  static void scatter_elements(Front& front, Range&& range) {
    ready_cells ready;
    constexpr bool keeps = std::is_lvalue_reference_v<Range> || std::ranges::view<std::remove_cvref_t<Range>>;
    auto const take = [](auto&& element) -> decltype(auto) {
      if constexpr (keeps) return std::forward<decltype(element)>(element);
      else return std::move(element);  // NOLINT(bugprone-move-forwarding-reference): the range gives them away
    };
    auto next = std::ranges::begin(range);
    auto const end = std::ranges::end(range);
    while (next != end) {
      if constexpr (is_cheap_to_read<Range>) {
        using element = decltype(take(*next));
        if (scatter_bundle<element>(front, ready, next, static_cast<std::size_t>(end - next), take)) continue;
      }
      auto&& element = *next;
      auto const at = front.port().admit(&ready, bytes_of_element(element));
      launch_into(ready, front, at, take(std::forward<decltype(element)>(element)));
      ++next;
    }
  }

  template <class>
  struct is_count : std::false_type {};
  template <std::integral From, std::integral To>
  struct is_count<std::ranges::iota_view<From, To>> : std::true_type {};
  // Its elements lie in memory, or are counted: to read one cannot wait for anything.
  template <class Range>
  static constexpr bool is_cheap_to_read = [] {
    using range = std::remove_cvref_t<Range>;
    if constexpr (!std::sized_sentinel_for<std::ranges::sentinel_t<range>, std::ranges::iterator_t<range>>)
      return false;
    else return std::ranges::contiguous_range<range> || is_count<range>::value;
  }();

  // What keeps the arguments of one element, and whether none of the user's code, which may throw or block, makes them.
  template <class A>
  using deduced = std::conditional_t<std::is_lvalue_reference_v<A>, A, std::remove_reference_t<A>>;
  template <class From, class To>
  static constexpr bool is_plain = (std::is_same_v<From, To> && std::is_trivially_copyable_v<To>) ||
                                   (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>);
  template <class... A>
  struct arguments_of {
    using match = matching<false, type_list<P...>, type_list<>, 0, deduced<A>...>;
    static constexpr bool are_plain = [] {
      if constexpr (sizeof...(A) != sizeof...(P)) return false;
      else return (is_plain<std::remove_cvref_t<A>, std::remove_cvref_t<P>> && ...);
    }();
  };
  template <class Element, class Indices>
  struct tuple_elements;
  template <class Element, std::size_t... I>
  struct tuple_elements<Element, std::index_sequence<I...>> {
    using type = arguments_of<decltype(std::get<I>(std::declval<Element>()))...>;
  };
  template <class Element>
  static auto arguments_of_element() {
    if constexpr (sizeof...(P) == 1) {
      return std::type_identity<arguments_of<Element>>{};
    } else {
      using indices = std::make_index_sequence<std::tuple_size_v<std::remove_cvref_t<Element>>>;
      return std::type_identity<typename tuple_elements<Element, indices>::type>{};
    }
  }

  // Scatters the next elements in one cell, if that can be done; at most `left`.
  template <class Element, class Iterator>
  static bool scatter_bundle(Front& front, ready_cells& ready, Iterator& next, std::size_t left, auto const& take) {
    if constexpr (Front::has_bundles) {
      using given = typename decltype(arguments_of_element<Element>())::type;
      if constexpr (given::are_plain && given::match::fits) {
        using holders = typename given::match::holders;
        if constexpr (can_be_bundled<typename Front::signature, holders>) {
          using calls = bundled_calls<typename Front::signature, holders>;
          stage_core& core = front.port();
          auto const admitted = core.admit_bundle(std::min(left, calls::room));
          if (!admitted) return false;
          ready.send();
          calls& made = [&]() -> calls& {
            try {
              return calls::create(core, *admitted, admitted->count);
            } catch (...) {
              core.dismiss(*admitted);
              throw;
            }
          }();
          for (std::uint32_t at = 0; at < admitted->count; ++at, ++next) put_into(made, at, take(*next));
          core.submit(made);
          return true;
        }
      }
    }
    return false;
  }
  template <class Element>
  static void put_into(auto& calls, std::uint32_t at, Element&& element) noexcept {
    if constexpr (sizeof...(P) == 1) calls.put(at, std::forward<Element>(element));
    else
      std::apply([&](auto&&... each) { calls.put(at, std::forward<decltype(each)>(each)...); },
                 std::forward<Element>(element));
  }

  template <class Element>
  static void launch_into(ready_cells& ready, Front& front, auto const& at, Element&& element) {
    create_from(
        front, at,
        [&ready](auto& created) {
          created.without_future();
          stage_core::publish(created);
          created.submit(ready);
        },
        std::forward<Element>(element));
  }

  // The arguments of an element of a range.
  template <class Start, class Element>
  static auto create_from(Front& front, auto const& at, Start const& start, Element&& element) {
    auto const create_one = [&](auto&&... arguments) {
      return front.create(at, start, std::forward<decltype(arguments)>(arguments)...);
    };
    if constexpr (sizeof...(P) == 1) return create_one(std::forward<Element>(element));
    else return std::apply(create_one, std::forward<Element>(element));
  }
};

}  // namespace penstock::detail
