// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.hpp"

#include <signal.h>

#include <array>
#include <atomic>

namespace penstock::cli {

namespace {

constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> was_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void set_handler(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  for (int const number : signals) {
    struct sigaction before{};
    if (::sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
      ::sigaction(number, &action, nullptr);
    }
  }
}

// sigaction() is async-signal-safe.
void request(int) {
  was_requested.store(true, std::memory_order_relaxed);
  set_handler(SIG_DFL);
}

}  // namespace

interrupt_guard::interrupt_guard() {
  was_requested.store(false, std::memory_order_relaxed);
  set_handler(request);
}

interrupt_guard::~interrupt_guard() { set_handler(SIG_DFL); }

bool interrupt_guard::requested() { return was_requested.load(std::memory_order_relaxed); }

}  // namespace penstock::cli
