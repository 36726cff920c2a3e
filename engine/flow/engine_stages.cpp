// SPDX-License-Identifier: Apache-2.0
// Stages without a body: their cells know themselves what to do.
#include "engine/flow/runner_word.hpp"

#include <penstock/detail/continuation.hpp>
#include <penstock/detail/promised.hpp>

#include <limits>
#include <string>

namespace penstock::detail {
namespace {

stage_core& open_unbounded(int concurrency, std::string name) {
  return stage_core::open(
      {.concurrency = concurrency, .capacity = std::numeric_limits<std::size_t>::max(), .name = std::move(name)},
      nullptr);
}

}  // namespace

// As many at once as can be: one that blocks must hold up no other.
stage_core& continuation_stage() {
  static stage_core& forever = open_unbounded(runner_word::most_active, "continuations");
  return forever;
}

// Nothing is done there but to tell those who wait.
stage_core& promise_stage() {
  static stage_core& forever = open_unbounded(2, "promises");
  return forever;
}

}  // namespace penstock::detail
