// SPDX-License-Identifier: Apache-2.0
#pragma once

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

template <has_signature Body>
using signature_t = typename signature<std::decay_t<Body>>::type;

}  // namespace penstock::detail
