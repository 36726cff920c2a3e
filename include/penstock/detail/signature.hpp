// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <stop_token>
#include <type_traits>

namespace penstock::detail {

// R(P...) of a function pointer or of the one operator() of a class.
template <class Body>
struct signature;
template <class R, class... P>
struct signature<R (*)(P...)> {
  using type = R(P...);
};
template <class R, class... P>
struct signature<R (*)(P...) noexcept> {
  using type = R(P...);
};
template <class Body>
  requires requires { &Body::operator(); }
struct signature<Body> : signature<decltype(&Body::operator())> {};

#define PENSTOCK_CALL_OPERATOR(qualifiers)          \
  template <class R, class Class, class... P>       \
  struct signature<R (Class::*)(P...) qualifiers> { \
    using type = R(P...);                           \
  };
PENSTOCK_CALL_OPERATOR()
PENSTOCK_CALL_OPERATOR(const)
PENSTOCK_CALL_OPERATOR(&)
PENSTOCK_CALL_OPERATOR(const&)
PENSTOCK_CALL_OPERATOR(noexcept)
PENSTOCK_CALL_OPERATOR(const noexcept)
PENSTOCK_CALL_OPERATOR(& noexcept)
PENSTOCK_CALL_OPERATOR(const& noexcept)
#undef PENSTOCK_CALL_OPERATOR

/// A function, or an object with exactly one operator(), whose parameters can be read off. A generic lambda has none
/// to read: name the signature, as in `thread_stage<tensor(image)>{2, [](auto picture) { ... }}`.
template <class Body>
concept has_signature = requires { typename signature<std::decay_t<Body>>::type; };

// A body's std::stop_token comes from its stage; it is no argument.
template <class Signature>
struct without_stop_token {
  using type = Signature;
};
template <class R, class First, class... P>
  requires std::is_same_v<std::remove_cvref_t<First>, std::stop_token>
struct without_stop_token<R(First, P...)> {
  using type = R(P...);
};

/// What is scattered and gathered: the body's parameters without its stop token, and what it returns.
template <has_signature Body>
using signature_t = typename without_stop_token<typename signature<std::decay_t<Body>>::type>::type;

template <class Body, class R, class... P>
inline constexpr bool takes_stop_token =
    !std::is_invocable_r_v<R, Body&, P...> && std::is_invocable_r_v<R, Body&, std::stop_token, P...>;

/// What a body that returns R results in: a T for std::optional<T>, which may drop the item.
template <class R>
struct result {
  using type = R;
  static constexpr bool may_drop = false;
};
template <class T>
struct result<std::optional<T>> {
  using type = T;
  static constexpr bool may_drop = true;
};
template <class R>
using result_of = result<std::remove_cvref_t<R>>;

}  // namespace penstock::detail
