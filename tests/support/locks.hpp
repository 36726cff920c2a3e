// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <thread>

namespace penstock::test {

/// Returns when so many wait for it: a lock, an index_semaphore, a resource_pool.
void wait_until_waiting(auto const& lock, std::size_t count) {
  auto const waiting = [&] {
    if constexpr (requires { lock.waiting(); }) return lock.waiting();
    else return lock.stats().waiting;
  };
  while (waiting() != count) std::this_thread::yield();
}

/// What another thread gets that asks.
bool elsewhere(auto const& asked) {
  bool got = false;
  std::jthread{[&] { got = asked(); }}.join();
  return got;
}

}  // namespace penstock::test
