// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool pooled = false;  // a block that is used again would hide a use after free
#else
constexpr bool pooled = true;
#endif

struct block {
  block* next;        // in its chain
  block* next_chain;  // of a chain's head, in the shared list
};

class shared_chains {
 public:
  // A chain of chain_length blocks.
  block* take(std::size_t size_class) {
    {
      std::lock_guard const lock{mutex_};
      if (block* const head = chains_[size_class]; head != nullptr) {
        chains_[size_class] = head->next_chain;
        return head;
      }
    }
    return carve((size_class + 1) * granularity);
  }

  void give(std::size_t size_class, block* head) noexcept {
    std::lock_guard const lock{mutex_};
    head->next_chain = chains_[size_class];
    chains_[size_class] = head;
  }

 private:
  // New memory, kept for the life of the program.
  static block* carve(std::size_t size) {
    auto* const slab = static_cast<std::byte*>(::operator new(size * chain_length, std::align_val_t{granularity}));
    block* head = nullptr;
    for (std::size_t i = chain_length; i-- > 0;) head = ::new (slab + i * size) block{head, nullptr};
    return head;
  }

  adaptive_mutex mutex_;
  std::array<block*, classes> chains_{};
};

shared_chains& shared() {
  static shared_chains& forever =
      *new shared_chains;  // cells of static stages are freed after static destructors began
  return forever;
}

struct free_list {
  block* head = nullptr;
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

std::size_t chain_size(block const* head) noexcept {
  std::size_t size = 0;
  for (; head != nullptr; head = head->next) ++size;
  return size;
}

}  // namespace

void* acquire_block(std::size_t size) {
  if (!pooled || size > largest) return ::operator new(size, std::align_val_t{granularity});
  std::size_t const size_class = (size - 1) / granularity;
  free_list& list = local.lists[size_class];
  if (list.head == nullptr) {
    at_thread_end.touch();
    list.head = shared().take(size_class);
    list.length = chain_size(list.head);
  }
  block* const taken = list.head;
  list.head = taken->next;
  --list.length;
  return taken;
}

void release_block(void* memory, std::size_t size) noexcept {
  if (!pooled || size > largest) {
    ::operator delete(memory, std::align_val_t{granularity});
    return;
  }
  std::size_t const size_class = (size - 1) / granularity;
  if (local.closed) {
    shared().give(size_class, ::new (memory) block{nullptr, nullptr});
    return;
  }
  at_thread_end.touch();
  free_list& list = local.lists[size_class];
  list.head = ::new (memory) block{list.head, nullptr};
  if (++list.length < 2 * chain_length) return;
  block* const chain = list.head;
  block* last = chain;
  for (std::size_t i = 1; i < chain_length; ++i) last = last->next;
  list.head = last->next;
  list.length -= chain_length;
  last->next = nullptr;
  shared().give(size_class, chain);
}

}  // namespace penstock::detail
