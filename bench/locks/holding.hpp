// SPDX-License-Identifier: Apache-2.0
// How each subject is measured. A subject is made of a number of slots, and its hold(body) takes what it lends, calls
// body(index) and gives it back; a lock's index is 0.
#pragma once

#include "bench/locks/measurement.hpp"
#include "bench/support/figures.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

namespace locks {

inline constexpr std::size_t cache_line = 64;

/// Aborts when an index is not one of those lent, or has two holders.
class holders {
 public:
  explicit holders(std::size_t slots) : held_(slots) {}

  void enter(std::size_t index) noexcept {
    if (index >= held_.size()) support::give_up("an index is none of those that are lent");
    if (held_[index].exchange(true)) support::give_up("an index has two holders");
  }
  void leave(std::size_t index) noexcept { held_[index] = false; }

 private:
  std::vector<std::atomic<bool>> held_;
};

/// Calls `work(thread)` in so many threads, which begin together with `meanwhile()`, here.
template <class Work, class Meanwhile>
void together(std::size_t threads, Work const& work, Meanwhile const& meanwhile) {
  std::barrier start{static_cast<std::ptrdiff_t>(threads) + 1};
  std::vector<std::jthread> running;
  running.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      start.arrive_and_wait();
      work(i);
    });
  }
  start.arrive_and_wait();
  meanwhile();
}

/// Some holds that are not counted, of all threads: memory is there then, and that the subject works has been seen.
template <class Subject>
void warm_up(Subject& subject, conditions const& asked) {
  holders inside{asked.slots};
  auto const body = [&](std::size_t index) {
    if constexpr (!Subject::is_shared) {
      inside.enter(index);
      inside.leave(index);
    }
  };
  together(
      asked.threads,
      [&](std::size_t) {
        for (int i = 0; i < 2'000; ++i) subject.hold(body);
      },
      [] {});
}

/// Nanoseconds of taking and giving back: the time, divided by what all threads together did in it. One thread alone has
/// one beside it that sleeps and then stops it: while a program has one thread only, the C library may go without atomic
/// operations.
template <class Subject>
support::figures cost(conditions const& asked) {
  alignas(cache_line) Subject subject{asked.slots};
  alignas(cache_line) std::atomic<bool> stop{false};
  warm_up(subject, asked);
  std::vector<long> done(asked.threads);
  double elapsed = 0;
  together(
      asked.threads,
      [&](std::size_t thread) {
        constexpr int between_looks = 16;
        long holds = 0;
        while (!stop.load(std::memory_order_relaxed)) {
          for (int i = 0; i < between_looks; ++i)
            subject.hold([](std::size_t index) { asm volatile("" : : "r"(index) : "memory"); });
          holds += between_looks;
        }
        done[thread] = holds;
      },
      [&] {
        support::stopwatch const watch;
        std::this_thread::sleep_for(asked.length);
        elapsed = watch.elapsed<std::chrono::nanoseconds>();
        stop = true;
      });
  return {elapsed / static_cast<double>(std::accumulate(done.begin(), done.end(), 0L))};
}

/// The smallest of the sorted values that this part of them does not exceed.
inline double percentile(support::figures const& sorted, double part) {
  auto const rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

/// The wait_figures of threads that hold a slot, asleep, and come back at once. They ask to be woken within a microsecond
/// of the time; else the kernel takes 50.
template <class Subject>
support::figures waits(conditions const& asked) {
  using clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::duration<double, std::milli>;
  struct log {
    clock::time_point began;
    clock::time_point ended;
    clock::duration held{0};
    std::vector<clock::duration> waited;
  };
  prctl(PR_SET_TIMERSLACK, 1'000UL);  // the threads inherit it
  Subject subject{asked.slots};
  holders inside{asked.slots};
  std::vector<log> logs(asked.threads);
  for (log& each : logs) each.waited.reserve(asked.holds);
  together(
      asked.threads,
      [&](std::size_t thread) {
        log& mine = logs[thread];
        mine.began = clock::now();
        for (std::size_t i = 0; i < asked.holds; ++i) {
          auto const came = clock::now();
          subject.hold([&](std::size_t index) {
            auto const got = clock::now();
            mine.waited.push_back(got - came);
            inside.enter(index);
            std::this_thread::sleep_for(asked.hold);
            inside.leave(index);
            mine.held += clock::now() - got;
          });
        }
        mine.ended = clock::now();
      },
      [] {});

  support::figures all;
  clock::duration held{0};
  for (log const& each : logs) {
    for (auto const waited : each.waited) all.push_back(milliseconds{waited}.count());
    held += each.held;
  }
  std::ranges::sort(all);
  auto const count = static_cast<double>(all.size());
  auto const began = std::ranges::min(logs, {}, &log::began).began;
  milliseconds const first = std::ranges::min(logs, {}, &log::ended).ended - began;
  milliseconds const last = std::ranges::max(logs, {}, &log::ended).ended - began;
  return {percentile(all, 0.5),         percentile(all, 0.99),     all.back(), milliseconds{held}.count() * 1e3 / count,
          last.count() / first.count(), count * 1e3 / last.count()};
}

}  // namespace locks
