// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/runner_threads.hpp"

#include "engine/flow/runner_clocks.hpp"
#include "engine/flow/runner_node.hpp"

#include <pthread.h>

#include <chrono>
#include <new>
#include <system_error>
#include <thread>

namespace penstock::detail {
namespace {

constexpr auto keep_idle_thread = std::chrono::milliseconds{250};
// A futex sleep and wake-up for every burst costs up to four times the burst itself, so a few idle threads look for more
// work before they sleep, for about 20 us.
constexpr std::size_t most_looking = 2;
constexpr int looks = 400;

}  // namespace

void runner_threads::announce(runner_node& node) noexcept {
  std::unique_lock lock{mutex_};
  if (node.announced < node.posted()) {
    if (node.announced++ == 0) append(node);
    length_.store(length_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  std::size_t const length = length_.load(std::memory_order_relaxed);
  if (length > idle_) {
    make_thread(lock);
  } else if (length > looking_ && asleep_ > 0) {
    lock.unlock();
    work_.notify_one();
  }
}

void runner_threads::append(runner_node& node) noexcept {
  node.next_announced = nullptr;
  (first_ != nullptr ? last_->next_announced : first_) = &node;
  last_ = &node;
}

// A node that is announced more than once goes to the end.
runner_node& runner_threads::take_first() noexcept {
  runner_node& node = *first_;
  first_ = node.next_announced;
  if (--node.announced > 0) append(node);
  length_.store(length_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
  return node;
}

void runner_threads::make_thread(std::unique_lock<std::mutex>& lock) noexcept {
  ++idle_;  // counted from here, so that two announcements make two threads
  lock.unlock();
  try {
    std::thread{[this] { serve(); }}.detach();
    return;
  } catch (std::system_error const&) {  // the system has no thread to give now
  } catch (std::bad_alloc const&) {
  }
  lock.lock();
  --idle_;
  lock.unlock();
}

void runner_threads::serve() noexcept {
  ::pthread_setname_np(::pthread_self(), "penstock");
  runner_clocks::count_this_thread();
  std::unique_lock lock{mutex_};
  for (;;) {
    if (first_ == nullptr && looking_ < most_looking) {
      ++looking_;
      lock.unlock();
      for (int i = 0; i < looks && length_.load(std::memory_order_acquire) == 0; ++i) {
        spin_pause();
        if (i % 64 == 63) std::this_thread::yield();
      }
      lock.lock();
      --looking_;
    }
    if (first_ == nullptr) {
      ++asleep_;
      bool const found = work_.wait_for(lock, keep_idle_thread, [this] { return first_ != nullptr; });
      --asleep_;
      if (!found) {
        --idle_;
        return;
      }
    }
    runner_node& node = take_first();
    --idle_;
    lock.unlock();
    if (node.claim()) node.stage().run(false);
    lock.lock();
    ++idle_;
  }
}

}  // namespace penstock::detail
