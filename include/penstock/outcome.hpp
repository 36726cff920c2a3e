// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/error.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace penstock {

/// One item's result: the value its body returned, or why there is none. Movable; copyable where T is.
/// Like std::expected; `outcome<void>` holds no value. Not thread-safe by itself.
template <class T>
class outcome {
  using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

 public:
  using value_type = T;

  /// Neither a value nor an error: an object to assign to.
  outcome() noexcept : result_{std::in_place_index<2>} {}
  /// What a batch body returns for an item: a value, or the exception that it fails with. Its stage fills in the rest.
  /// The value of an outcome<void> is a std::monostate.
  template <class Value = stored>
    requires(!std::is_same_v<std::remove_cvref_t<Value>, outcome> &&
             !std::is_same_v<std::remove_cvref_t<Value>, std::exception_ptr> && std::is_convertible_v<Value, stored>)
  explicit(false) outcome(Value&& value) : result_{std::in_place_index<0>, std::forward<Value>(value)} {}
  explicit(false) outcome(std::exception_ptr why) : result_{std::in_place_index<1>, detail::error_of(std::move(why))} {}
  outcome(std::size_t index, stored value) : result_{std::in_place_index<0>, std::move(value)}, index_{index} {}
  outcome(std::size_t index, item_error error) : result_{std::in_place_index<1>, std::move(error)}, index_{index} {}

  [[nodiscard]] bool has_value() const noexcept { return result_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws the item's original exception where there is none, std::logic_error where there is neither.
  auto value() const& -> std::add_lvalue_reference_t<T const> {
    require_value();
    if constexpr (!std::is_void_v<T>) return std::get<0>(result_);
  }
  auto value() && -> T {
    require_value();
    if constexpr (!std::is_void_v<T>) return std::move(std::get<0>(result_));
  }

  /// The value, unchecked: the behaviour is undefined where there is none.
  auto operator*() const& noexcept -> std::add_lvalue_reference_t<T const>
    requires(!std::is_void_v<T>)
  {
    return *std::get_if<0>(&result_);
  }
  auto operator*() & noexcept -> std::add_lvalue_reference_t<T>
    requires(!std::is_void_v<T>)
  {
    return *std::get_if<0>(&result_);
  }
  auto operator*() && noexcept -> std::add_rvalue_reference_t<T>
    requires(!std::is_void_v<T>)
  {
    return std::move(*std::get_if<0>(&result_));
  }
  auto operator->() const noexcept -> stored const* { return std::get_if<0>(&result_); }
  auto operator->() noexcept -> stored* { return std::get_if<0>(&result_); }

  /// Why there is no value; throws std::bad_variant_access where there is one, and without an item.
  [[nodiscard]] item_error const& error() const { return std::get<1>(result_); }

  /// The item's place in scatter order since the last gather, from 0.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

 private:
  void require_value() const {
    if (has_value()) return;
    if (result_.index() == 2) throw std::logic_error{"an outcome has neither a value nor an error"};
    std::rethrow_exception(error().cause());
  }

  std::variant<stored, item_error, std::monostate> result_;
  std::size_t index_ = 0;
};

/// Thrown by gather() when items failed. kind(), stage() and index() are those of the first failure; nothing is lost:
/// every item's outcome can be taken from it.
template <class T>
class gather_error : public stage_error {
 public:
  gather_error(stage_error base, std::vector<outcome<T>> outcomes)
      : stage_error{std::move(base)}, outcomes_{std::make_shared<std::vector<outcome<T>>>(std::move(outcomes))} {}

  /// All outcomes in scatter order, once; copies of this exception share them. Not thread-safe.
  [[nodiscard]] std::vector<outcome<T>> take_outcomes() { return std::move(*outcomes_); }

 private:
  std::shared_ptr<std::vector<outcome<T>>> outcomes_;
};

}  // namespace penstock
