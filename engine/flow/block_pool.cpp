// SPDX-License-Identifier: Apache-2.0
#include <penstock/detail/block_pool.hpp>

#include "engine/flow/prefetch.hpp"
#include "engine/flow/sanitizers.hpp"

#include <penstock/detail/adaptive_mutex.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>

// Magazines of free blocks, after J. Bonwick and J. Adams ("Magazines and Vmem", USENIX 2001): a thread takes blocks out
// of one and puts them into one, without a lock, and exchanges whole ones with a depot that all threads share, since the
// thread that frees a cell is often not the one that made it. The memory of such a block is in the cache of another core:
// it is not looked at while it is free, but fetched a few acquisitions before it is handed out.
namespace penstock::detail {
namespace {

constexpr std::size_t granularity = 64;
constexpr std::size_t largest = 512;
constexpr std::size_t classes = largest / granularity;
constexpr std::size_t magazine_size = 64;

// A block that is used again would hide a use after free from the sanitizers.
constexpr bool pooled = PENSTOCK_ADDRESS_SANITIZER + PENSTOCK_THREAD_SANITIZER == 0;

constexpr bool fits(std::size_t size, std::size_t alignment) noexcept {
  return pooled && size <= largest && alignment <= granularity;
}

struct magazine {
  std::size_t count = 0;
  magazine* next = nullptr;  // in the depot
  std::array<void*, magazine_size> blocks{};
};

// Of one size of blocks.
class depot {
 public:
  // Takes an empty magazine, or none, for one with blocks.
  magazine* refill(magazine* empty, std::size_t block_size) {
    {
      std::lock_guard const lock{mutex_};
      if (full_ != nullptr) {
        if (empty != nullptr) push(empty_, *empty);
        return &pop(full_);
      }
      if (empty == nullptr && empty_ != nullptr) empty = &pop(empty_);
    }
    if (empty == nullptr) empty = new magazine;
    try {
      if (!collect(*empty)) carve(*empty, block_size);
    } catch (...) {
      give(*empty);
      throw;
    }
    return empty;
  }
  // An empty magazine; null when there is no memory.
  magazine* take_empty() noexcept {
    {
      std::lock_guard const lock{mutex_};
      if (empty_ != nullptr) return &pop(empty_);
    }
    return new (std::nothrow) magazine;
  }
  void give(magazine& unused) noexcept {
    std::lock_guard const lock{mutex_};
    push(unused.count == 0 ? empty_ : full_, unused);
  }
  // A block for which there is no magazine.
  void give(void* block) noexcept {
    std::lock_guard const lock{mutex_};
    loose_ = ::new (block) loose_block{loose_};
  }

 private:
  struct loose_block {
    loose_block* next;
  };

  static void push(magazine*& list, magazine& added) noexcept { added.next = std::exchange(list, &added); }
  static magazine& pop(magazine*& list) noexcept { return *std::exchange(list, list->next); }

  // New memory, kept for the life of the program.
  static void carve(magazine& to, std::size_t size) {
    auto* const slab = static_cast<std::byte*>(::operator new(size * magazine_size, std::align_val_t{granularity}));
    for (std::size_t i = magazine_size; i-- > 0;) to.blocks[to.count++] = slab + i * size;
  }

  [[nodiscard]] bool collect(magazine& to) noexcept {
    std::lock_guard const lock{mutex_};
    while (loose_ != nullptr && to.count < magazine_size) to.blocks[to.count++] = std::exchange(loose_, loose_->next);
    return to.count > 0;
  }

  adaptive_mutex mutex_;
  magazine* full_ = nullptr;  // with at least one block
  magazine* empty_ = nullptr;
  loose_block* loose_ = nullptr;
};

depot& depot_of(std::size_t size_class) noexcept {
  // Cells of static stages are freed after static destructors began.
  static auto& forever = *new std::array<depot, classes>;  // NOLINT(bugprone-unhandled-exception-at-new)
  return forever[size_class];
}

// What a thread has of one size: one magazine that it uses, and one that is full or empty, so that a thread which makes and
// frees by turns does not go to the depot for each.
struct supply {
  magazine* loaded = nullptr;
  magazine* other = nullptr;
};

struct thread_supplies {
  std::array<supply, classes> of;
  bool closed = false;  // the thread is ending
};
constinit thread_local thread_supplies local{};

// Hands this thread's blocks on when it ends.
struct hand_over {
  ~hand_over() {
    local.closed = true;
    for (std::size_t i = 0; i < classes; ++i) close(i);
  }
  static void close(std::size_t size_class) noexcept {
    for (magazine** each : {&local.of[size_class].loaded, &local.of[size_class].other}) {
      if (*each != nullptr) depot_of(size_class).give(*std::exchange(*each, nullptr));
    }
  }
  void touch() noexcept {}
};
thread_local hand_over at_thread_end;

void* take_out(magazine& from) noexcept {
  std::size_t const left = --from.count;
  if (left >= cells_ahead) fetch_two_lines(from.blocks[left - cells_ahead]);
  return from.blocks[left];
}

// Where this thread's magazine is empty, or it has none.
[[gnu::noinline]] void* acquire_elsewhere(std::size_t size_class) {
  supply& mine = local.of[size_class];
  at_thread_end.touch();
  if (mine.other != nullptr && mine.other->count > 0) std::swap(mine.loaded, mine.other);
  else mine.loaded = depot_of(size_class).refill(std::exchange(mine.loaded, nullptr), (size_class + 1) * granularity);
  magazine& now = *mine.loaded;
  for (std::size_t i = now.count - std::min(now.count, cells_ahead); i < now.count; ++i) fetch_two_lines(now.blocks[i]);
  void* const taken = take_out(now);
  if (local.closed) hand_over::close(size_class);
  return taken;
}

// Where it is full, or there is none.
[[gnu::noinline]] void release_elsewhere(void* block, std::size_t size_class) noexcept {
  supply& mine = local.of[size_class];
  at_thread_end.touch();
  if (mine.other == nullptr || mine.other->count > 0) {
    magazine* const empty = depot_of(size_class).take_empty();
    if (empty == nullptr) return depot_of(size_class).give(block);
    if (mine.other != nullptr) depot_of(size_class).give(*mine.other);
    mine.other = empty;
  }
  std::swap(mine.loaded, mine.other);
  mine.loaded->blocks[mine.loaded->count++] = block;
  if (local.closed) hand_over::close(size_class);
}

}  // namespace

void* acquire_block(std::size_t size, std::size_t alignment) {
  if (!fits(size, alignment)) return ::operator new(size, std::align_val_t{alignment});
  std::size_t const size_class = (size - 1) / granularity;
  magazine* const loaded = local.of[size_class].loaded;
  if (loaded == nullptr || loaded->count == 0) return acquire_elsewhere(size_class);
  return take_out(*loaded);
}

void release_block(void* block, std::size_t size, std::size_t alignment) noexcept {
  if (!fits(size, alignment)) return ::operator delete(block, std::align_val_t{alignment});
  std::size_t const size_class = (size - 1) / granularity;
  magazine* const loaded = local.of[size_class].loaded;
  if (loaded == nullptr || loaded->count == magazine_size) return release_elsewhere(block, size_class);
  loaded->blocks[loaded->count++] = block;
}

}  // namespace penstock::detail
