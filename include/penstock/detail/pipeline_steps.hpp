// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/argument.hpp>
#include <penstock/detail/call.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/outlet.hpp>
#include <penstock/detail/signature.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/size_bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// The stages of a pipeline behind interfaces without their types: pipeline<R(P...)> says nothing of what goes from one
// stage to the next.
namespace penstock::detail {

/// The first stage of a pipeline.
template <class... P>
class first_step {
 public:
  virtual ~first_step() = default;
  /// Runs the body; false when it drops the item.
  virtual bool call(stage_core& stage, outlet out, P... parameters) const = 0;
};

template <class R, class... P>
class body_of_first final : public first_step<P...> {
 public:
  bool call(stage_core& stage, outlet out, P... parameters) const override {
    auto& body = *static_cast<erased_body<R, P...>*>(stage.body());
    return produce<R>(out, [&]() -> R { return body.call(stage, std::forward<P>(parameters)...); });
  }
};

/// A later stage. Its input is what the stage before has made.
class later_step {
 public:
  later_step(std::size_t size, std::size_t alignment, bool is_charged) noexcept
      : size_{size}, alignment_{alignment}, is_charged_{is_charged} {}
  later_step(later_step const&) = delete;
  later_step& operator=(later_step const&) = delete;
  virtual ~later_step() = default;

  /// Runs the body on `input`, which it leaves as it was unless this is the `last` possible attempt; false when it drops
  /// the item.
  virtual bool run(stage_core& stage, void* input, outlet out, bool last) const = 0;
  virtual void destroy(void* input) const noexcept = 0;
  /// Its size_bytes().
  [[nodiscard]] virtual std::size_t bytes(void const* input) const = 0;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }
  /// Inputs differ in size, so the stage before is charged for them.
  [[nodiscard]] bool is_charged() const noexcept { return is_charged_; }

 private:
  std::size_t size_;
  std::size_t alignment_;
  bool is_charged_;
};

/// Fills the parameters of R(P...) with a T: one with the whole, or, `Unpacked`, one with each element of a tuple.
template <class T, bool Unpacked, class R, class... P>
class body_of_later final : public later_step {
  using stored = typename result_cell<T>::stored;
  static_assert(alignof(stored) <= alignof(cell), "pipeline: a result between two stages is aligned more than a cell");
  static_assert(sizeof(stored) <= 500'000,
                "pipeline: a result between two stages lies in the item's cell; let the "
                "stage return a std::unique_ptr to something as large as this");

 public:
  body_of_later() noexcept : later_step{sizeof(stored), alignof(stored), !has_fixed_size<stored>} {}

  /// Whether the input is as it was after an attempt that was not the last possible one.
  static constexpr bool survives = [] {
    if constexpr (std::is_void_v<T>) {
      return true;
    } else if constexpr (Unpacked) {
      return []<std::size_t... K>(std::index_sequence<K...>) {
        return (lent<P, std::remove_cvref_t<std::tuple_element_t<K, T>>>::survives && ...);
      }(std::index_sequence_for<P...>{});
    } else {
      return (lent<P, T>::survives && ...);
    }
  }();

  bool run(stage_core& stage, void* input, outlet out, [[maybe_unused]] bool last) const override {
    auto& body = *static_cast<erased_body<R, P...>*>(stage.body());
    [[maybe_unused]] stored& value = *static_cast<stored*>(input);
    if constexpr (std::is_void_v<T>) {
      return produce<R>(out, [&]() -> R { return body.call(stage); });
    } else if constexpr (Unpacked) {
      return [&]<std::size_t... K>(std::index_sequence<K...>) {
        [[maybe_unused]] auto parameters =
            std::tuple{lent<P, std::remove_cvref_t<std::tuple_element_t<K, T>>>{std::get<K>(value), last}...};
        return produce<R>(out, [&]() -> R { return body.call(stage, std::get<K>(parameters).get()...); });
      }(std::index_sequence_for<P...>{});
    } else {
      auto parameter = std::tuple{lent<P, T>{value, last}...};  // of one
      return produce<R>(out, [&]() -> R { return body.call(stage, std::get<0>(parameter).get()); });
    }
  }
  void destroy(void* input) const noexcept override { std::destroy_at(static_cast<stored*>(input)); }
  [[nodiscard]] std::size_t bytes(void const* input) const override {
    return size_bytes(*static_cast<stored const*>(input));
  }
};

/// How a T fills the parameters P of the stage that follows.
template <class T, class... P>
struct fit {
  static constexpr bool nothing = std::is_void_v<T> && sizeof...(P) == 0;
  static constexpr bool whole = !std::is_void_v<T> && sizeof...(P) == 1;
  static constexpr bool unpacked = [] {
    if constexpr (is_tuple<T>) {
      return std::tuple_size_v<T> == sizeof...(P) && !(std::is_same_v<std::remove_cvref_t<P>, T> || ...);
    } else {
      return false;
    }
  }();
};

/// The step of a stage R(P...) behind one that results in a T. Throws std::invalid_argument where a tuple fits only
/// unpacked and the stage does not do that, and where the input does not survive an attempt and there may be several.
template <class T, class R, class... P>
std::shared_ptr<later_step const> make_later_step(stage_core const& stage) {
  using fits = fit<T, P...>;
  static_assert(
      fits::nothing || fits::whole || fits::unpacked,
      "pipeline: what a stage returns does not fill the parameters of the next one (a value fills one, a tuple "
      "one an element, void none)");
  auto const make = [&stage]<bool Unpacked>(std::bool_constant<Unpacked>) -> std::shared_ptr<later_step const> {
    using step = body_of_later<T, Unpacked, R, P...>;
    if (!step::survives && stage.attempts() > 1) stage.throw_not_repeatable();
    return std::make_shared<step>();
  };
  if constexpr (fits::unpacked) {
    if (stage.unpacks()) return make(std::true_type{});
  }
  if constexpr (fits::nothing || fits::whole) return make(std::false_type{});
  else stage.throw_not_unpacked();
}

/// The steps of a pipeline, and how the values between them lie in a cell: that of an odd step at the start, that of an even
/// one, which it becomes or comes from, behind it; and last, if any is charged, what the present one was charged with.
template <class... P>
struct pipeline_steps {
  std::shared_ptr<first_step<P...> const> first;
  std::vector<std::shared_ptr<later_step const>> later;
  std::size_t even_offset = 0;
  std::size_t bytes_offset = 0;
  std::size_t size = 0;
  std::size_t alignment = 1;

  void add(std::shared_ptr<later_step const> step) {
    later.push_back(std::move(step));
    std::size_t odd = 0;
    std::size_t even = 0;
    std::size_t even_alignment = 1;
    for (std::size_t i = 0; i < later.size(); ++i) {  // later[0] is step 1
      std::size_t& half = i % 2 == 0 ? odd : even;
      half = std::max(half, later[i]->size());
      if (i % 2 == 1) even_alignment = std::max(even_alignment, later[i]->alignment());
      alignment = std::max(alignment, later[i]->alignment());
    }
    auto const aligned = [](std::size_t offset, std::size_t to) { return (offset + to - 1) / to * to; };
    even_offset = aligned(odd, even_alignment);
    size = even_offset + even;
    if (std::ranges::none_of(later, [](auto const& each) { return each->is_charged(); })) return;
    bytes_offset = aligned(size, alignof(std::size_t));
    size = bytes_offset + sizeof(std::size_t);
    alignment = std::max(alignment, alignof(std::size_t));
  }
  [[nodiscard]] std::size_t offset(std::size_t step) const noexcept { return step % 2 == 0 ? even_offset : 0; }
};

/// The values between the steps of a plain call.
template <class... P>
class values_between {
 public:
  explicit values_between(pipeline_steps<P...> const& steps)
      : steps_{steps}, memory_{::operator new(steps.size, std::align_val_t{steps.alignment})} {}
  values_between(values_between const&) = delete;
  values_between& operator=(values_between const&) = delete;
  ~values_between() {
    advance(0);
    ::operator delete(memory_, std::align_val_t{steps_.alignment});
  }

  [[nodiscard]] void* input(std::size_t step) const noexcept {
    return static_cast<std::byte*>(memory_) + steps_.offset(step);
  }
  /// The input of `step` has been made, none if that is 0; that of the step before goes.
  void advance(std::size_t step) noexcept {
    if (step_ > 0) steps_.later[step_ - 1]->destroy(input(step_));
    step_ = step;
  }

 private:
  pipeline_steps<P...> const& steps_;
  void* memory_;
  std::size_t step_ = 0;
};

}  // namespace penstock::detail
