// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

#include "engine/flow/sanitizers.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

#include <array>
#include <mutex>
#include <new>

// Free lists of equal-sized blocks: one set a thread, and a shared one that takes whole chains, since the thread that
// frees a cell is often not the one that made it.
namespace penstock::detail {
namespace {

constexpr std::size_t granularity = 64;
constexpr std::size_t largest = 512;
constexpr std::size_t classes = largest / granularity;
constexpr std::size_t chain_length = 64;

// A block that is used again would hide a use after free from the sanitizers.
constexpr bool pooled = PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER == 0;

constexpr bool fits(std::size_t size, std::size_t alignment) noexcept {
  return pooled && size <= largest && alignment <= granularity;
}

struct free_block {
  free_block* next;        // in its chain
  free_block* next_chain;  // of a chain's head, in the shared list
};

class shared_chains {
 public:
  // A chain of chain_length blocks.
  free_block* take(std::size_t size_class) {
    {
      std::lock_guard const lock{mutex_};
      if (free_block* const head = chains_[size_class]; head != nullptr) {
        chains_[size_class] = head->next_chain;
        return head;
      }
    }
    return carve((size_class + 1) * granularity);
  }

  void give(std::size_t size_class, free_block* head) noexcept {
    std::lock_guard const lock{mutex_};
    head->next_chain = chains_[size_class];
    chains_[size_class] = head;
  }

 private:
  // New memory, kept for the life of the program.
  static free_block* carve(std::size_t size) {
    auto* const slab = static_cast<std::byte*>(::operator new(size * chain_length, std::align_val_t{granularity}));
    free_block* head = nullptr;
    for (std::size_t i = chain_length; i-- > 0;) head = ::new (slab + i * size) free_block{head, nullptr};
    return head;
  }

  adaptive_mutex mutex_;
  std::array<free_block*, classes> chains_{};
};

shared_chains& shared() {
  static shared_chains& forever =
      *new shared_chains;  // cells of static stages are freed after static destructors began
  return forever;
}

struct free_list {
  free_block* head = nullptr;
  std::size_t length = 0;
};
struct thread_lists {
  std::array<free_list, classes> lists;
  bool closed = false;  // the thread is ending
};
constinit thread_local thread_lists local{};

// Hands this thread's blocks on when it ends. Shorter chains than chain_length are fine.
struct hand_over {
  ~hand_over() {
    local.closed = true;
    for (std::size_t i = 0; i < classes; ++i) {
      if (local.lists[i].head != nullptr) shared().give(i, local.lists[i].head);
      local.lists[i] = {};
    }
  }
  void touch() noexcept {}
};
thread_local hand_over at_thread_end;

std::size_t chain_size(free_block const* head) noexcept {
  std::size_t size = 0;
  for (; head != nullptr; head = head->next) ++size;
  return size;
}

}  // namespace

void* acquire_block(std::size_t size, std::size_t alignment) {
  if (!fits(size, alignment)) return ::operator new(size, std::align_val_t{alignment});
  std::size_t const size_class = (size - 1) / granularity;
  free_list& list = local.lists[size_class];
  if (list.head == nullptr) {
    at_thread_end.touch();
    list.head = shared().take(size_class);
    list.length = chain_size(list.head);
  }
  free_block* const taken = list.head;
  list.head = taken->next;
  --list.length;
  return taken;
}

void release_block(void* block, std::size_t size, std::size_t alignment) noexcept {
  if (!fits(size, alignment)) {
    ::operator delete(block, std::align_val_t{alignment});
    return;
  }
  std::size_t const size_class = (size - 1) / granularity;
  if (local.closed) {
    shared().give(size_class, ::new (block) free_block{nullptr, nullptr});
    return;
  }
  at_thread_end.touch();
  free_list& list = local.lists[size_class];
  list.head = ::new (block) free_block{list.head, nullptr};
  if (++list.length < 2 * chain_length) return;
  free_block* const chain = list.head;
  free_block* last = chain;
  for (std::size_t i = 1; i < chain_length; ++i) last = last->next;
  list.head = last->next;
  list.length -= chain_length;
  last->next = nullptr;
  shared().give(size_class, chain);
}

}  // namespace penstock::detail
