// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <string>

namespace penstock {

/// No limit, where an option is a number of items.
inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// How a thread_stage behaves. An aggregate for designated initialisers:
/// `thread_stage{{.concurrency = 10, .capacity = 64, .name = "fetch"}, fetch}`.
/// Values are checked when the stage is constructed; a wrong one throws std::invalid_argument.
struct stage_options {
  /// How many bodies may run at once. Threads are made when that many items are ready, not before: a large number costs
  /// nothing until it is used. Raise it for bodies that wait, lower it to protect what they use. With 0, `scatter` runs
  /// the body itself, on the calling thread, and waits for inputs that are not there yet: for debugging. The environment
  /// variable PENSTOCK_SERIAL=1 does that to every stage constructed while it is set. At most 16,383.
  int concurrency = 50;

  /// How many items may be scattered and not yet finished, at least 1. `scatter` blocks at this bound.
  std::size_t capacity = 1024;

  /// How much memory its items may hold, in bytes: the arguments of items that have not finished, and results for which
  /// other stages' items, or a stream, wait. Bytes are counted by penstock::size_bytes(). `scatter` blocks where an item's
  /// arguments would exceed the bound; one that is larger than all of it goes alone. A body is not started while results
  /// have reached the bound, unless nobody could take one of them otherwise: then it is exceeded (see
  /// stage_stats::over_budget). What is waiting for gather() does not count. Until the first results are there, nobody knows
  /// how large they are. At least 1.
  std::size_t capacity_bytes = std::size_t{256} << 20U;

  /// What errors and figures call this stage; "thread_stage N" when empty.
  std::string name{};

  /// Whether the future of a tuple, as an argument, fills one parameter an element. A parameter that is itself that
  /// tuple always receives it whole.
  bool unpack = true;

  /// How often a body is tried before the item fails, at least 1. Arguments survive: a parameter taken by value is copied
  /// for every attempt but the last possible one, so what cannot be copied must be taken by reference (else
  /// std::invalid_argument). What a body does to an argument through `T&` is seen by the next attempt only where the
  /// argument cannot be copied.
  int attempts = 1;

  /// The wait between the first attempt and the second; it doubles from attempt to attempt, up to 64 times this. A waiting
  /// item holds no thread and no place among the running ones. At most 24 hours.
  std::chrono::milliseconds backoff{0};

  /// At this many failed items (of this stage's own bodies, since the last gather) the stage is cancelled, as by
  /// cancel(). At least 1.
  std::size_t max_errors = unlimited;

  /// How many items a body that takes a penstock::batch is given at once, at most; at least 1, no more than `.capacity`, and 1
  /// for a body that takes single items. The body runs when that many are ready, or when the first of them has waited for
  /// `.batch_wait`, or earlier where no other item could join: because the stage is full, or because somebody waits in
  /// gather() or for a stream, or has called close(), here or further down the chain. A thread that waits for a single future
  /// starts the batch that its item lies in as soon as no body of the stage is at work: many threads may each scatter one item
  /// and wait for it. A coroutine that waits starts none.
  std::size_t batch = 1;

  /// How long an item waits for others to make a batch, at most, once it could run; to within a few milliseconds, at most
  /// 24 hours. With 0 the body takes what is there.
  std::chrono::milliseconds batch_wait{2};

  /// Whether results that nobody holds a future of are let go at once, so that a stage which is run for its effects can
  /// run for ever. Its gather() and outcomes() then return failures only.
  bool discard_results = false;
};

}  // namespace penstock
