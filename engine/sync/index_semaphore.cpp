// SPDX-License-Identifier: Apache-2.0
#include <penstock/index_semaphore.hpp>

#include "engine/observe/histogram.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

namespace penstock {

namespace {

constexpr std::size_t most_indices = std::numeric_limits<std::int32_t>::max();

}  // namespace

std::size_t index_semaphore::checked(std::size_t n) {
  if (n >= 1 && n <= most_indices) return n;
  throw std::invalid_argument{"index_semaphore or resource_pool: its size must be from 1 to " +
                              std::to_string(most_indices) + ", got " + std::to_string(n)};
}

index_semaphore::index_semaphore(std::size_t n) : queue_{checked(n)}, waits_{std::make_unique<detail::histogram>()} {}

index_semaphore::~index_semaphore() {
  close();
  if (std::size_t const out = queue_.count().held; out > 0) {
    std::fprintf(
        stderr,
        "penstock: an index_semaphore or resource_pool is destroyed, but %zu of its %zu leases are still out; it has "
        "to outlive them. Declare it before what holds them.\n",
        out, size());
    std::terminate();
  }
}

std::size_t index_semaphore::wait() {
  std::size_t const index = wait_until(detail::no_deadline);
  if (index == detail::no_index) throw_closed(queue_.is_used_up() ? size() : 0);
  return index;
}

std::size_t index_semaphore::wait_until(std::chrono::steady_clock::time_point deadline) {
  auto const start = std::chrono::steady_clock::now();
  detail::index_continuation::run_those_of_this_thread();  // they may have to give back what this thread waits for
  detail::index_queue::answer const answer = queue_.take(deadline);
  if (answer.how == detail::index_queue::arrival::granted) waited(answer.index, start);
  return answer.index;
}

void index_semaphore::waited(std::size_t index, std::chrono::steady_clock::time_point since) noexcept {
  if (index == detail::no_index || since == std::chrono::steady_clock::time_point{}) return;
  waits_->record(std::chrono::steady_clock::now() - since);
}

void index_semaphore::throw_closed(std::size_t used_up) {
  if (used_up == 0) throw semaphore_closed{"index_semaphore or resource_pool: it is closed, and lends nothing more"};
  throw semaphore_closed{"resource_pool: each of its " + std::to_string(used_up) +
                         " resources has failed its health check, so there is none to lend"};
}

void index_semaphore::forget(detail::index_continuation& destroyed) noexcept {
  if (queue_.withdraw(destroyed)) return;
  std::fputs(
      "penstock: a coroutine is destroyed that waits for an index_semaphore or resource_pool, and has just got what it "
      "waits for.\n",
      stderr);
  std::terminate();
}

semaphore_stats index_semaphore::stats() const {
  auto const [held, waiting, most_held] = queue_.count();
  return {.holds = held, .waiting = waiting, .high_water = most_held, .wait = waits_->summary()};
}

}  // namespace penstock
