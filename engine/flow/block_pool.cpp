// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

#include "engine/flow/sanitizers.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

// Free blocks of equal size: a list for each thread, and a shared one that takes whole chains, since the thread that
// frees a cell is often not the one that made it. The memory of a free block is then in the cache of another core. So
// most free blocks are not looked at but known by their addresses, which one block in many keeps for the others, as the
// magazines of J. Bonwick and J. Adams do ("Magazines and Vmem", USENIX 2001); and a block that will be handed out soon
// is fetched in good time.
namespace penstock::detail {
namespace {

constexpr std::size_t granularity = 64;
constexpr std::size_t largest = 512;
constexpr std::size_t classes = largest / granularity;
constexpr std::size_t chain_length = 64;  // blocks, at least
constexpr std::size_t fetched_ahead = 8;  // acquisitions; about as long as another core's memory takes to come

// A block that is used again would hide a use after free from the sanitizers.
constexpr bool pooled = PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER == 0;

constexpr bool fits(std::size_t size, std::size_t alignment) noexcept {
  return pooled && size <= largest && alignment <= granularity;
}

// A free block that keeps the addresses of others; they follow it in its memory.
struct magazine {
  magazine* next = nullptr;        // in its chain
  magazine* next_chain = nullptr;  // of a chain's head, in the shared list
  std::uint32_t length = 1;        // of a chain's head, in the shared list: the blocks of the chain
  std::uint32_t count = 0;         // of the others

  static constexpr std::size_t room(std::size_t block_size) noexcept {
    return (block_size - sizeof(magazine)) / sizeof(void*);
  }
  void*& other(std::size_t i) noexcept { return reinterpret_cast<void**>(this + 1)[i]; }
};
static_assert(magazine::room(granularity) > 0);

// Asks for as much as most cells have.
void fetch(void* block) noexcept {
  __builtin_prefetch(block, 1);
  __builtin_prefetch(static_cast<std::byte*>(block) + 64, 1);
}

struct free_list {
  magazine* top = nullptr;
  std::size_t length = 0;  // blocks

  void push(void* block, std::size_t block_size) noexcept {
    ++length;
    if (top != nullptr && top->count < magazine::room(block_size)) {
      top->other(top->count++) = block;
    } else {
      auto* const added = ::new (block) magazine;
      added->next = std::exchange(top, added);
    }
  }
  // The others of the first magazine come out, from the last on, then itself, then the others of the next.
  void* pop() noexcept {
    --length;
    if (top->count == 0) {
      magazine* const emptied = std::exchange(top, top->next);
      if (top != nullptr && top->next != nullptr) fetch(top->next);
      return emptied;
    }
    void* const block = top->other(--top->count);
    if (top->count >= fetched_ahead) {
      fetch(top->other(top->count - fetched_ahead));
    } else if (magazine* const next = top->next; next != nullptr) {
      std::size_t const skipped = fetched_ahead - top->count;  // `top` is here and need not be fetched
      if (next->count >= skipped) fetch(next->other(next->count - skipped));
    }
    return block;
  }
  // The chain of all blocks, or of the first chain_length.
  magazine* cut(bool all) noexcept {
    magazine* const head = top;
    magazine* last = head;
    std::size_t cut_off = last->count + 1;
    for (; last->next != nullptr && (all || cut_off < chain_length); cut_off += last->count + 1) last = last->next;
    top = std::exchange(last->next, nullptr);
    length -= cut_off;
    head->length = static_cast<std::uint32_t>(cut_off);
    return head;
  }
};

class shared_chains {
 public:
  free_list take(std::size_t size_class) {
    {
      std::lock_guard const lock{mutex_};
      if (magazine* const head = chains_[size_class]; head != nullptr) {
        chains_[size_class] = head->next_chain;
        return {head, head->length};
      }
    }
    return carve((size_class + 1) * granularity);
  }

  void give(std::size_t size_class, magazine* head) noexcept {
    std::lock_guard const lock{mutex_};
    head->next_chain = std::exchange(chains_[size_class], head);
  }

 private:
  // New memory, kept for the life of the program.
  static free_list carve(std::size_t size) {
    auto* const slab = static_cast<std::byte*>(::operator new(size * chain_length, std::align_val_t{granularity}));
    free_list made;
    for (std::size_t i = chain_length; i-- > 0;) made.push(slab + i * size, size);
    return made;
  }

  adaptive_mutex mutex_;
  std::array<magazine*, classes> chains_{};
};

shared_chains& shared() {
  static shared_chains& forever =
      *new shared_chains;  // cells of static stages are freed after static destructors began
  return forever;
}

struct thread_lists {
  std::array<free_list, classes> lists;
  bool closed = false;  // the thread is ending
};
constinit thread_local thread_lists local{};

// Hands this thread's blocks on when it ends.
struct hand_over {
  ~hand_over() {
    local.closed = true;
    for (std::size_t i = 0; i < classes; ++i) {
      if (local.lists[i].top != nullptr) shared().give(i, local.lists[i].cut(true));
    }
  }
  void touch() noexcept {}
};
thread_local hand_over at_thread_end;

}  // namespace

void* acquire_block(std::size_t size, std::size_t alignment) {
  if (!fits(size, alignment)) return ::operator new(size, std::align_val_t{alignment});
  std::size_t const size_class = (size - 1) / granularity;
  free_list& list = local.lists[size_class];
  if (list.top == nullptr) {
    at_thread_end.touch();
    list = shared().take(size_class);
  }
  void* const taken = list.pop();
  if (local.closed && list.top != nullptr) shared().give(size_class, list.cut(true));
  return taken;
}

void release_block(void* block, std::size_t size, std::size_t alignment) noexcept {
  if (!fits(size, alignment)) {
    ::operator delete(block, std::align_val_t{alignment});
    return;
  }
  std::size_t const size_class = (size - 1) / granularity;
  free_list& list = local.lists[size_class];
  if (list.top == nullptr) at_thread_end.touch();
  list.push(block, (size_class + 1) * granularity);
  if (list.length >= 2 * chain_length || local.closed) shared().give(size_class, list.cut(local.closed));
}

}  // namespace penstock::detail
