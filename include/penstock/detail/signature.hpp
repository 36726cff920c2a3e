// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/batch.hpp>

#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <vector>

namespace penstock {
template <class T>
class outcome;
}  // namespace penstock

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
concept has_signature =
    !std::is_member_pointer_v<std::decay_t<Body>> && requires { typename signature<std::decay_t<Body>>::type; };

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

/// What a batch body makes of one item, by what it returns for the batch.
template <class Made>
struct batch_result {
  static constexpr bool fits = false;
};
template <>
struct batch_result<void> {
  static constexpr bool fits = true;
  static constexpr bool makes_outcomes = false;
  using type = void;
};
template <class R>
struct batch_result<std::vector<R>> {
  static constexpr bool fits = true;
  static constexpr bool makes_outcomes = false;
  using type = R;
};
template <class R>
struct batch_result<std::vector<outcome<R>>> {
  static constexpr bool fits = true;
  static constexpr bool makes_outcomes = true;
  using type = R;
};

// A batch body is one of single items to those who scatter and gather.
template <class Signature>
struct of_one_item {
  using type = Signature;
};
template <class Made, class Batch, class T>
struct of_one_item_of_batch {
  static_assert(batch_result<Made>::fits,
                "a body that takes a penstock::batch returns std::vector<R>, std::vector<outcome<R>> or void");
  using type = typename batch_result<Made>::type(std::remove_const_t<T>);
};
template <class Made, class T>
struct of_one_item<Made(batch<T>)> : of_one_item_of_batch<Made, batch<T>, T> {};
template <class Made, class T>
struct of_one_item<Made(batch<T> const&)> : of_one_item_of_batch<Made, batch<T>, T> {};

/// What is scattered and gathered: the body's parameters without its stop token, and what it returns.
template <has_signature Body>
using signature_t =
    typename of_one_item<typename without_stop_token<typename signature<std::decay_t<Body>>::type>::type>::type;

template <class T>
inline constexpr bool is_std_function = false;
template <class Signature>
inline constexpr bool is_std_function<std::function<Signature>> = true;

/// What a stage's type is deduced from: the body's signature, or where there is none to read, a sentence. (A guide of its
/// own for the latter would not do: Clang before 21 looks at a guide's result before its constraint.)
template <class Body>
struct deduced_signature {
  static_assert(!std::is_member_pointer_v<std::decay_t<Body>>,
                "a pointer to a member is no body of a stage: put the call into a lambda");
  static_assert(std::is_member_pointer_v<std::decay_t<Body>>,
                "the parameters of the body (a generic lambda, or an overloaded operator()?) cannot be read off: name "
                "them, as in penstock::thread_stage<R(P...)>{...}");
  using type = void();
};
template <has_signature Body>
struct deduced_signature<Body> {
  using type = signature_t<Body>;
};

template <class Body, class R, class... P>
inline constexpr bool takes_stop_token =
    !std::is_invocable_r_v<R, Body&, P...> && std::is_invocable_r_v<R, Body&, std::stop_token, P...>;

/// Whether items of a parameter P can be in a batch, and results R come from it: values, which can be moved.
template <class R, class P>
inline constexpr bool is_batchable = std::is_object_v<P> && !std::is_const_v<P> && !std::is_abstract_v<P> &&
                                     std::is_move_constructible_v<P> && !std::is_reference_v<R>;

/// How a body takes batches of items P for results R, if it does.
template <class Body, class R, class... P>
struct batch_form {
  static constexpr bool fits = false;
};
template <class Body, class Item, bool Token, class Made>
struct fitting_batch_form {
  static constexpr bool fits = true;
  static constexpr bool takes_token = Token;
  static constexpr bool makes_outcomes = batch_result<Made>::makes_outcomes;
  using item = Item;
  using made = Made;
};
template <class Body, class R, class P>
  requires is_batchable<R, P>
struct batch_form<Body, R, P> {
 private:
  template <class... A>
  static constexpr bool makes_results = [] {
    if constexpr (std::is_invocable_v<Body&, A...>) {
      using of = batch_result<std::remove_cvref_t<std::invoke_result_t<Body&, A...>>>;
      if constexpr (of::fits) return std::is_same_v<typename of::type, R>;
    }
    return false;
  }();
  template <class Item, bool Token, class... A>
  using fitting = fitting_batch_form<Body, Item, Token, std::remove_cvref_t<std::invoke_result_t<Body&, A...>>>;

  static constexpr auto choose() {
    using read = batch<P const>;
    using changed = batch<P>;
    using token = std::stop_token;
    if constexpr (makes_results<read>) return fitting<P const, false, read>{};
    else if constexpr (makes_results<changed>) return fitting<P, false, changed>{};
    else if constexpr (makes_results<token, read>) return fitting<P const, true, token, read>{};
    else if constexpr (makes_results<token, changed>) return fitting<P, true, token, changed>{};
    else return batch_form<Body, R>{};
  }

 public:
  using type = decltype(choose());
  static constexpr bool fits = type::fits;
};

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
