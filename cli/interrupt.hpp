// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace penstock::cli {

/// While alive, the first SIGINT, SIGTERM or SIGHUP only sets a flag; the second has its usual effect. A signal that was ignored
/// when the program started stays ignored. At most one object at a time; its destructor gives the signals back.
class interrupt_guard {
 public:
  interrupt_guard();
  interrupt_guard(interrupt_guard const&) = delete;
  interrupt_guard& operator=(interrupt_guard const&) = delete;
  ~interrupt_guard();

  /// Whether one of the signals came since construction. Thread-safe.
  [[nodiscard]] static bool requested();
};

}  // namespace penstock::cli
