// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

namespace penstock::detail {

/// What stands in a wait_list: the base of what waits. Not to be moved while it does.
struct wait_node {
  wait_node* next = nullptr;
  wait_node* previous = nullptr;
  bool is_listed = false;
};

/// Who waits, in the order of arrival. Owns nothing, allocates nothing; all but take_all() in constant time. Not thread-safe: a
/// lock of its owner guards it, and the fields of its nodes. `Node` derives from wait_node.
template <class Node>
class wait_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push_back(Node& node) noexcept {
    node.next = nullptr;
    node.previous = last_;
    node.is_listed = true;
    (last_ != nullptr ? last_->next : first_) = &node;
    last_ = &node;
    ++size_;
  }
  /// The one that has waited longest; nullptr when nobody waits.
  [[nodiscard]] Node* pop_front() noexcept {
    auto* const node = static_cast<Node*>(first_);
    if (node != nullptr) (void)remove(*node);
    return node;
  }
  /// Whether it was there.
  [[nodiscard]] bool remove(Node& node) noexcept {
    if (!node.is_listed) return false;
    (node.previous != nullptr ? node.previous->next : first_) = node.next;
    (node.next != nullptr ? node.next->previous : last_) = node.previous;
    node.is_listed = false;
    --size_;
    return true;
  }
  /// Takes all of them out: a chain for for_each().
  [[nodiscard]] wait_node* take_all() noexcept {
    for (wait_node* each = first_; each != nullptr; each = each->next) each->is_listed = false;
    last_ = nullptr;
    size_ = 0;
    return std::exchange(first_, nullptr);
  }
  /// Calls `f` with each of the chain, oldest first. A node may be gone as soon as `f` has it.
  static void for_each(wait_node* chain, auto const& f) {
    while (chain != nullptr) {
      auto* const node = static_cast<Node*>(chain);
      chain = chain->next;
      f(*node);
    }
  }

 private:
  wait_node* first_ = nullptr;
  wait_node* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace penstock::detail
