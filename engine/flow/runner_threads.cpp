// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/runner_threads.hpp"

#include "engine/flow/runner_node.hpp"

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
    announced_.push_back(&node);
    ++node.announced;
    length_.store(announced_.size(), std::memory_order_release);
  }
  if (announced_.size() > idle_) {
    make_thread(lock);
  } else if (announced_.size() > looking_ && asleep_ > 0) {
    lock.unlock();
    work_.notify_one();
  }
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
  std::unique_lock lock{mutex_};
  for (;;) {
    if (announced_.empty() && looking_ < most_looking) {
      ++looking_;
      lock.unlock();
      for (int i = 0; i < looks && length_.load(std::memory_order_acquire) == 0; ++i) {
        spin_pause();
        if (i % 64 == 63) std::this_thread::yield();
      }
      lock.lock();
      --looking_;
    }
    if (announced_.empty()) {
      ++asleep_;
      bool const found = work_.wait_for(lock, keep_idle_thread, [this] { return !announced_.empty(); });
      --asleep_;
      if (!found) {
        --idle_;
        return;
      }
    }
    runner_node& node = *announced_.front();
    announced_.pop_front();
    --node.announced;
    length_.store(announced_.size(), std::memory_order_release);
    --idle_;
    lock.unlock();
    if (node.claim()) node.stage().run();
    lock.lock();
    ++idle_;
  }
}

}  // namespace penstock::detail
