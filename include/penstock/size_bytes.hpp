// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock {
namespace detail::size_bytes_detail {

void size_bytes(auto const&) = delete;  // so that only a function beside the type is found

template <class T>
concept has_own = requires(T const& value) {
  { size_bytes(value) } -> std::convertible_to<std::size_t>;
};

template <class T>
inline constexpr bool is_tuple_like = false;
template <class... T>
inline constexpr bool is_tuple_like<std::tuple<T...>> = true;
template <class T, class U>
inline constexpr bool is_tuple_like<std::pair<T, U>> = true;

template <class T>
inline constexpr bool is_variant = false;
template <class... T>
inline constexpr bool is_variant<std::variant<T...>> = true;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;

template <class T>
inline constexpr bool is_unique_pointer = false;
template <class T, class D>
  requires(!std::is_void_v<T> && !std::is_array_v<T>)
inline constexpr bool is_unique_pointer<std::unique_ptr<T, D>> = true;

/// A range that owns elements of another type, and knows how many.
template <class T>
concept container =
    std::ranges::sized_range<T const> && !std::ranges::view<T> && !std::same_as<std::ranges::range_value_t<T const>, T>;

/// Whether all values of a type have the same size.
template <class T>
constexpr bool is_fixed() {
  if constexpr (has_own<T> || is_unique_pointer<T>) {
    return false;
  } else if constexpr (is_tuple_like<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (is_fixed<std::remove_cvref_t<std::tuple_element_t<I, T>>>() && ...);
    }(std::make_index_sequence<std::tuple_size_v<T>>{});
  } else if constexpr (is_variant<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (is_fixed<std::variant_alternative_t<I, T>>() && ...);
    }(std::make_index_sequence<std::variant_size_v<T>>{});
  } else if constexpr (is_optional<T>) {
    return is_fixed<typename T::value_type>();
  } else if constexpr (container<T>) {
    return is_array<T> && is_fixed<std::ranges::range_value_t<T const>>();
  } else {
    return true;
  }
}

struct function {
  template <class T>
  [[nodiscard]] constexpr std::size_t operator()(T const& value) const {
    if constexpr (has_own<T>) {
      return size_bytes(value);
    } else if constexpr (is_fixed<T>()) {
      return sizeof(T);
    } else if constexpr (is_tuple_like<T>) {
      return std::apply([](auto const&... each) { return sizeof(T) + (std::size_t{0} + ... + owned(each)); }, value);
    } else if constexpr (is_variant<T>) {
      if (value.valueless_by_exception()) return sizeof(T);
      return sizeof(T) + std::visit([](auto const& held) { return owned(held); }, value);
    } else if constexpr (is_optional<T>) {
      return sizeof(T) + (value ? owned(*value) : 0);
    } else if constexpr (is_unique_pointer<T>) {
      return sizeof(T) + (value ? (*this)(*value) : 0);
    } else {
      using element = std::ranges::range_value_t<T const>;
      std::size_t bytes = sizeof(T);
      if constexpr (is_fixed<element>()) {
        bytes += std::ranges::size(value) * sizeof(element);
      } else {
        for (auto const& each : value) bytes += (*this)(each);
      }
      return bytes;
    }
  }

 private:
  // What a part of a value has outside of it.
  template <class T>
  [[nodiscard]] static constexpr std::size_t owned(T const& part) {
    std::size_t const all = function{}(part);
    return all > sizeof(T) ? all - sizeof(T) : 0;
  }
};

}  // namespace detail::size_bytes_detail

inline namespace functions {

/// How much memory a value holds, in bytes: what stage_options::capacity_bytes counts.
///
/// For a type of yours, write `std::size_t size_bytes(frame const&)` beside it: it is found there. Otherwise containers,
/// std::string, std::pair, std::tuple, std::optional, std::variant and std::unique_ptr count with what they own, as far
/// as it is used; anything else counts sizeof. So does a std::shared_ptr, whose object others may hold too, and a view.
/// O(1), or O(n) for containers whose elements are of different sizes.
inline constexpr detail::size_bytes_detail::function size_bytes{};

}  // namespace functions

namespace detail {

template <class T>
inline constexpr bool has_fixed_size = size_bytes_detail::is_fixed<T>();
template <>
inline constexpr bool has_fixed_size<void> = true;

}  // namespace detail
}  // namespace penstock
