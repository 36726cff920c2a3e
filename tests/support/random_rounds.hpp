// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

// Calls round(seed) for as many seeds as PENSTOCK_STRESS_ROUNDS says, else `rounds`, from PENSTOCK_STRESS_SEED on, else from
// 0, until the test has failed.
inline void for_each_seed(int rounds, auto const& round) {
  auto const number = [](char const* variable, int otherwise) {
    char const* const asked = std::getenv(variable);
    return asked == nullptr ? otherwise : std::atoi(asked);
  };
  int const first = number("PENSTOCK_STRESS_SEED", 0);
  int const end = first + number("PENSTOCK_STRESS_ROUNDS", rounds);
  for (int seed = first; seed < end && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    round(static_cast<unsigned>(seed));
  }
}
