// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/future.hpp>
#include <penstock/stream.hpp>

#include <cstddef>
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
    ready_cells ready;
    for (auto&& element : range) {
      auto const at = front.port().admit(&ready, bytes_of_element(element));
      if constexpr (std::is_lvalue_reference_v<Range> || std::ranges::view<std::remove_cvref_t<Range>>) {
        launch_into(ready, front, at, std::forward<decltype(element)>(element));
      } else {
        launch_into(ready, front, at, std::move(element));
      }
    }
  }

  template <class Window, class Source>
  static auto stream(Front& front, Source&& source) {
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
