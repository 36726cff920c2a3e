// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace penstock {

/// How a thread_stage behaves. An aggregate for designated initialisers:
/// `thread_stage{{.concurrency = 10, .capacity = 64, .name = "fetch"}, fetch}`.
/// Values are checked when the stage is constructed; a wrong one throws std::invalid_argument.
struct stage_options {
  /// How many bodies may run at once, at least 1. Threads are made when that many items are ready, not before:
  /// a large number costs nothing until it is used. Raise it for bodies that wait, lower it to protect what they use.
  int concurrency = 50;

  /// How many items may be scattered and not yet finished, at least 1. `scatter` blocks at this bound.
  std::size_t capacity = 1024;

  /// What errors and figures call this stage; "thread_stage N" when empty.
  std::string name{};

  /// Whether the future of a tuple, as an argument, fills one parameter an element. A parameter that is itself that
  /// tuple always receives it whole.
  bool unpack = true;
};

}  // namespace penstock
