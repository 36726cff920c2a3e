// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::detail {

/// Whether copying a T compiles. std::is_copy_constructible answers yes for a std::vector of something move-only.
template <class T>
struct copyable : std::is_copy_constructible<T> {};
template <class T>
  requires(requires { typename T::value_type; } && !std::is_same_v<typename T::value_type, T>)
struct copyable<T> : std::conjunction<std::is_copy_constructible<T>, copyable<typename T::value_type>> {};
template <class First, class Second>
struct copyable<std::pair<First, Second>> : std::conjunction<copyable<First>, copyable<Second>> {};
template <class... T>
struct copyable<std::tuple<T...>> : std::conjunction<copyable<T>...> {};
template <class... T>
struct copyable<std::variant<T...>> : std::conjunction<copyable<T>...> {};
template <>
struct copyable<void> : std::true_type {};

}  // namespace penstock::detail
