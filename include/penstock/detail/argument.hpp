// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/detail/copyable.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/future.hpp>
#include <penstock/size_bytes.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// How the arguments of scatter() wait in a cell and reach the body's parameters. An argument is a value, a future, or a
// vector of futures; the future of a tuple may fill several parameters, the future of void fills none.
namespace penstock::detail {

template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;

/// What an argument holds: `future_of<future<T>>::type` is T, and so on.
template <class Argument>
struct future_of {
  static constexpr bool is_future = false;
  static constexpr bool is_vector = false;
};
template <class T>
struct future_of<future<T>> {
  static constexpr bool is_future = true;
  static constexpr bool is_vector = false;
  using type = T;
};
template <class T>
struct future_of<std::vector<future<T>>> {
  static constexpr bool is_future = false;
  static constexpr bool is_vector = true;
  using type = T;
};

/// A parameter of type P can be bound to a Value where it is: a reference to const of its type or of a base class.
template <class P, class Value>
inline constexpr bool binds_to = std::is_lvalue_reference_v<P> && std::is_const_v<std::remove_reference_t<P>> &&
                                 std::is_convertible_v<Value const*, std::remove_cvref_t<P> const*>;

/// A parameter of type P is a view (std::string_view, std::span) of elements that a Value owns.
template <class P, class Value>
inline constexpr bool views = std::ranges::view<std::remove_cvref_t<P>> && !std::ranges::view<Value>;

/// A Value is a std::reference_wrapper of what a parameter of type P refers to, as for a call by std::async.
template <class P, class Value>
inline constexpr bool refers = false;
template <class P, class T>
inline constexpr bool refers<P, std::reference_wrapper<T>> =
    std::is_lvalue_reference_v<P> && std::is_convertible_v<T*, std::remove_reference_t<P>*>;
template <class P, class Value>
inline constexpr bool is_const_reference_for = false;
template <class P, class T>
inline constexpr bool is_const_reference_for<P, std::reference_wrapper<T const>> = refers<P, std::reference_wrapper<T>>;

/// Whether a Value that is lent to a parameter of type P, and may not be moved, is as it was after the call.
template <class P, class Value>
inline constexpr bool survives_call = copyable<Value>::value || binds_to<P, Value> || views<P, Value> ||
                                      (std::is_lvalue_reference_v<P> && std::is_same_v<std::remove_cvref_t<P>, Value>);

/// Lends a waiting value to one parameter of type P for the time of the call. A reference to const, or a view of const
/// elements, refers to the value itself, and what std::ref() made to what it stands for; any other parameter gets the
/// value moved when `movable`, else a copy of it. What cannot be copied is moved, or referred to, in any case.
template <class P, class Value>
class lent {
  using object = std::remove_cvref_t<P>;
  static constexpr bool needs_object = std::is_reference_v<P> && !binds_to<P, Value> && !refers<P, Value>;
  static constexpr bool is_mutable_view = views<P, Value> && !std::is_convertible_v<Value const&, object>;
  static_assert(binds_to<P, Value> || refers<P, Value> || std::is_convertible_v<Value, object> ||
                    std::is_convertible_v<Value const&, object> || std::is_convertible_v<Value&, object>,
                "an argument does not convert to its parameter");

 public:
  static constexpr bool survives = survives_call<P, Value>;
  /// The same for place().
  static constexpr bool survives_in_batch = survives || std::is_same_v<object, Value>;

  lent(Value& value, bool movable) noexcept : value_{&value}, movable_{movable} {}

  P get() {
    if constexpr (refers<P, Value>) {
      return value_->get();
    } else if constexpr (binds_to<P, Value>) {
      return *value_;
    } else if constexpr (needs_object) {
      if constexpr (std::is_same_v<object, Value>) {
        if (movable_ || !copyable<Value>::value) return static_cast<P>(*value_);
      }
      return static_cast<P>(own_.emplace(convert<object>()));
    } else {
      return convert<object>();
    }
  }

  /// For a body that takes many at once: the value itself where it is only read (not `changed`), is movable or cannot be
  /// copied; else an object made in `own`, as for a parameter by value.
  P& place(std::optional<P>& own, [[maybe_unused]] bool changed)
    requires std::is_same_v<P, object>
  {
    if constexpr (std::is_same_v<P, Value>) {
      if (!changed || movable_ || !copyable<Value>::value) return *value_;
    }
    if constexpr (is_mutable_view) return own.emplace(*value_);
    else return own.emplace(convert<object>());
  }

 private:
  template <class Object>  // a template, since an abstract class has no such function
  Object convert() {
    if constexpr (is_mutable_view) {
      if constexpr (copyable<Value>::value) return movable_ ? *value_ : copy_.emplace(std::as_const(*value_));
      else return *value_;
    } else if constexpr (views<P, Value>) {
      return std::as_const(*value_);
    } else {
      if constexpr (copyable<Value>::value) {
        if (!movable_) {
          if constexpr (std::is_convertible_v<Value const&, Object>) return static_cast<Object>(std::as_const(*value_));
          else return static_cast<Object>(Value{std::as_const(*value_)});
        }
      }
      return static_cast<Object>(std::move(*value_));
    }
  }

  Value* value_;
  bool movable_;
  [[no_unique_address]] std::conditional_t<needs_object, std::optional<object>, std::monostate> own_;
  [[no_unique_address]] std::conditional_t<is_mutable_view, std::optional<Value>, std::tuple<>> copy_;
};

/// Takes the item of an argument of `self` out of its stage's gather; true when it was to be gathered until now.
inline bool claim_for_scatter(cell const& self, cell& input, bool reserve) {
  self.stage().note_upstream(input);
  claim_result const found = stage_core::claim(input, reserve);
  if (found == claim_result::gathered) stage_core::throw_already_gathered(input);
  return found == claim_result::was_listed;
}

/// Which of two inputs without a value decides what becomes of a call: one that failed rather than one that was
/// cancelled, that rather than one that was dropped, and the first of equals. Either may be null.
inline cell const* graver(cell const* first, cell const* second) noexcept {
  if (first == nullptr || second == nullptr) return first != nullptr ? first : second;
  auto const gravity = [](cell const& of) {
    if (of.was_dropped()) return 0;
    return of.failed()->kind == error_kind::cancelled ? 1 : 2;
  };
  return gravity(*second) > gravity(*first) ? second : first;
}

/// A value, kept as the parameter's own type. The argument itself is kept where the parameter only refers to it.
template <class P, class Argument>
class value_argument {
  using argument = std::decay_t<Argument>;

 public:
  static constexpr std::size_t parameters = 1;
  static constexpr bool is_charged = !has_fixed_size<argument>;
  static constexpr bool keeps_argument = views<P, argument> || binds_to<P, argument> || refers<P, argument>;
  using value_type = std::conditional_t<keeps_argument, argument, std::remove_cvref_t<P>>;

  explicit value_argument(Argument&& given) {
    constexpr bool fits = std::is_convertible_v<Argument, value_type>;
    constexpr bool fits_moved = std::is_convertible_v<argument, value_type>;
    static_assert(fits || !fits_moved, "scatter: an argument cannot be copied: move it in, scatter(std::move(it))");
    static_assert(fits || fits_moved, "scatter: an argument does not convert to its parameter");
    static_assert(keeps_argument || !is_const_reference_for<P, argument>,
                  "scatter: std::cref() does not fit a parameter T& that is not const");
    if constexpr (fits) value_.emplace(std::forward<Argument>(given));
  }
  static constexpr std::size_t inputs = 0;
  void claim(cell const&, bool) noexcept {}
  void commit() noexcept {}
  void unclaim() noexcept {}
  void subscribe(cell&) noexcept {}
  void wait() noexcept {}
  [[nodiscard]] cell const* failed() const noexcept { return nullptr; }
  template <std::size_t, class Parameter>
  [[nodiscard]] auto lend(bool last) noexcept {
    return lent<Parameter, value_type>{*value_, last};
  }
  void release() noexcept { value_.reset(); }

 private:
  std::optional<value_type> value_;
};

/// The future of a T. With `Unpacked`, T is a tuple that fills one parameter an element.
template <class T, bool Unpacked>
class future_argument {
 public:
  static constexpr bool is_charged = false;
  static constexpr std::size_t parameters = [] {
    if constexpr (Unpacked) return std::tuple_size_v<T>;
    else return std::is_void_v<T> ? std::size_t{0} : std::size_t{1};
  }();

  template <class Future>
  explicit future_argument(Future&& argument) : input_{cell_of(std::forward<Future>(argument))} {}
  future_argument(future_argument const&) = delete;
  future_argument& operator=(future_argument const&) = delete;

  static constexpr std::size_t inputs = 1;
  void claim(cell const& self, bool reserve) {
    claimed_ = claim_for_scatter(self, *input_, reserve);
    input_->add_consumer();
    consumes_ = true;
  }
  void commit() noexcept {
    if (claimed_) stage_core::commit(*input_);
  }
  void unclaim() noexcept {
    if (claimed_) stage_core::unclaim(*input_);
    if (std::exchange(consumes_, false)) input_->remove_consumer();
  }
  void subscribe(cell& self) noexcept { self.depend_on(*input_, link_); }
  [[nodiscard]] bool subscribe_only(cell& self) noexcept { return self.depend_only_on(*input_, link_); }
  void wait() noexcept { input_->wait(); }
  [[nodiscard]] cell const* failed() const noexcept { return input_->failed() ? &*input_ : nullptr; }
  template <std::size_t Element, class Parameter>
  [[nodiscard]] auto lend(bool last) noexcept {
    bool const movable = last && input_->sole_handle();
    if constexpr (Unpacked) {
      auto& element = std::get<Element>(input_->value());
      return lent<Parameter, std::remove_cvref_t<decltype(element)>>{element, movable};
    } else {
      return lent<Parameter, T>{input_->value(), movable};
    }
  }
  void release() noexcept {
    if (std::exchange(consumes_, false)) input_->consume();
    input_.reset();
  }

 private:
  cell_handle<result_cell<T>> input_;
  link link_;
  bool claimed_ = false;
  bool consumes_ = false;
};

/// Any number of futures, which arrive as a vector of their values.
template <class T>
class futures_argument {
 public:
  static constexpr bool is_charged = false;
  static constexpr std::size_t parameters = std::is_void_v<T> ? 0 : 1;

  template <class Futures>
  explicit futures_argument(Futures&& futures) : inputs_(futures.size()) {
    for (std::size_t i = 0; i < futures.size(); ++i) {
      if constexpr (std::is_lvalue_reference_v<Futures>) inputs_[i].input = cell_of(std::as_const(futures[i]));
      else inputs_[i].input = cell_of(std::move(futures[i]));
    }
  }
  futures_argument(futures_argument const&) = delete;
  futures_argument& operator=(futures_argument const&) = delete;

  static constexpr std::size_t inputs = 2;  // any number
  void claim(cell const& self, bool reserve) {
    for (auto& each : inputs_) {
      each.claimed = claim_for_scatter(self, *each.input, reserve);
      each.input->add_consumer();
      each.consumes = true;
    }
  }
  void commit() noexcept {
    for (auto& each : inputs_) {
      if (each.claimed) stage_core::commit(*each.input);
    }
  }
  void unclaim() noexcept {
    for (auto& each : inputs_) {
      if (each.claimed) stage_core::unclaim(*each.input);
      if (std::exchange(each.consumes, false)) each.input->remove_consumer();
    }
  }
  void subscribe(cell& self) noexcept {
    for (auto& each : inputs_) self.depend_on(*each.input, each.wait);
  }
  void wait() noexcept {
    for (auto& each : inputs_) each.input->wait();
  }
  [[nodiscard]] cell const* failed() const noexcept {
    cell const* gravest = nullptr;
    for (auto const& each : inputs_) {
      if (each.input->failed()) gravest = graver(gravest, &*each.input);
    }
    return gravest;
  }
  template <std::size_t, class Parameter>
  [[nodiscard]] auto lend(bool last) {
    values_.reserve(inputs_.size());
    while (values_.size() < inputs_.size()) values_.push_back(inputs_[values_.size()].input->take());
    return lent<Parameter, values>{values_, last};
  }
  void release() noexcept {
    for (auto& each : inputs_) {
      if (std::exchange(each.consumes, false)) each.input->consume();
    }
    std::vector<entry>{}.swap(inputs_);
    values{}.swap(values_);
  }

 private:
  struct entry {
    cell_handle<result_cell<T>> input;
    link wait;
    bool claimed = false;
    bool consumes = false;
  };
  using values = std::vector<typename result_cell<T>::stored>;

  std::vector<entry> inputs_;
  values values_;
};

/// The size of what scatter() is given, as far as it differs from item to item; futures bring none.
template <class Argument>
std::size_t argument_bytes(Argument const& given) {
  using of = future_of<Argument>;
  if constexpr (of::is_future || of::is_vector || has_fixed_size<std::decay_t<Argument>>) return 0;
  else return size_bytes(given);
}

template <class... T>
struct type_list {
  static constexpr std::size_t size = sizeof...(T);
};

/// The holder of an Argument that stands where parameter At is to be filled.
template <bool Unpack, class Argument, std::size_t At, class... P>
struct holder_of {
  static constexpr auto choose() {
    using of = future_of<std::remove_cvref_t<Argument>>;
    if constexpr (of::is_vector) {
      return std::type_identity<futures_argument<typename of::type>>{};
    } else if constexpr (of::is_future) {
      using value = typename of::type;
      constexpr bool whole = !Unpack || !is_tuple<value> || std::is_same_v<std::remove_cvref_t<parameter>, value>;
      return std::type_identity<future_argument<value, !whole>>{};
    } else if constexpr (At < sizeof...(P)) {
      return std::type_identity<value_argument<parameter, Argument>>{};
    } else {
      return std::type_identity<superfluous_argument>{};
    }
  }

 private:
  struct superfluous_argument {
    static constexpr std::size_t parameters = 1;
  };
  using parameter = std::tuple_element_t<At, std::tuple<P..., superfluous_argument>>;

 public:
  using type = typename decltype(choose())::type;
};

}  // namespace penstock::detail
