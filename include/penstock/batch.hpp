// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>

namespace penstock {

namespace detail {

class cell;

/// One item of a batch: where it is, and what the engine knows of it.
template <class T>
struct batch_entry {
  T* item = nullptr;
  std::size_t index = 0;
  cell* of = nullptr;    // null in a plain call
  std::optional<T> own;  // where the body has an object of its own
  bool again_later = false;
  bool hopeless = false;  // trying again is of no use
};

}  // namespace detail

/// What a body that takes many items at once is called with: a random-access range of T&, good for the time of the call.
///
/// `thread_stage infer{{.batch = 32}, [](penstock::batch<image const> images) { ... }}` is a thread_stage<R(image)>: see
/// there. A `batch<T const>` refers to the arguments where they are. A `batch<T>` may be changed and moved from; for that
/// the body gets objects of its own, except where there is no other use for an argument any more.
/// Cheap to copy; it owns nothing. Reading is thread-safe; the items are for one thread each.
template <class T>
class batch : public std::ranges::view_interface<batch<T>> {
  static_assert(std::is_object_v<T> && !std::is_volatile_v<T>,
                "batch<T>: T is the type of one item: no reference; batch<T const> for items that are only read");
  using entry = detail::batch_entry<std::remove_const_t<T>>;

 public:
  class iterator {
   public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = std::remove_const_t<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    iterator() = default;

    [[nodiscard]] T& operator*() const noexcept { return *at_->item; }
    [[nodiscard]] T* operator->() const noexcept { return at_->item; }
    [[nodiscard]] T& operator[](std::ptrdiff_t i) const noexcept { return *at_[i].item; }
    iterator& operator++() noexcept { return *this += 1; }
    iterator& operator--() noexcept { return *this -= 1; }
    iterator operator++(int) noexcept { return iterator{at_++}; }
    iterator operator--(int) noexcept { return iterator{at_--}; }
    iterator& operator+=(std::ptrdiff_t n) noexcept {
      at_ += n;
      return *this;
    }
    iterator& operator-=(std::ptrdiff_t n) noexcept { return *this += -n; }
    [[nodiscard]] friend iterator operator+(iterator i, std::ptrdiff_t n) noexcept { return i += n; }
    [[nodiscard]] friend iterator operator+(std::ptrdiff_t n, iterator i) noexcept { return i += n; }
    [[nodiscard]] friend iterator operator-(iterator i, std::ptrdiff_t n) noexcept { return i -= n; }
    [[nodiscard]] friend std::ptrdiff_t operator-(iterator a, iterator b) noexcept { return a.at_ - b.at_; }
    [[nodiscard]] friend bool operator==(iterator a, iterator b) noexcept = default;
    [[nodiscard]] friend auto operator<=>(iterator a, iterator b) noexcept = default;

   private:
    friend class batch;
    explicit iterator(entry const* at) noexcept : at_{at} {}
    entry const* at_ = nullptr;
  };

  /// For the engine.
  explicit batch(std::span<entry const> entries) noexcept : entries_{entries} {}

  /// At least 1 and at most stage_options::batch.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] T& operator[](std::size_t i) const noexcept { return *entries_[i].item; }
  /// The index of item i in its stage, the same as its outcome's; 0 in a plain call of the stage.
  [[nodiscard]] std::size_t index(std::size_t i) const noexcept { return entries_[i].index; }

  [[nodiscard]] iterator begin() const noexcept { return iterator{entries_.data()}; }
  [[nodiscard]] iterator end() const noexcept { return iterator{entries_.data() + entries_.size()}; }

 private:
  std::span<entry const> entries_;
};

}  // namespace penstock
