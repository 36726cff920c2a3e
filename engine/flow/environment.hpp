// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace penstock::detail {

/// Whether an environment variable is `choice` rather than `otherwise`, which it is too when it is empty or not set. Throws
/// std::invalid_argument for any other value; `allowed` says in the message what may be set.
inline bool environment_chooses(char const* variable, std::string_view choice, std::string_view otherwise,
                                std::string_view allowed) {
  char const* const set = std::getenv(variable);
  std::string_view const value = set != nullptr ? set : "";
  if (value == choice) return true;
  if (value.empty() || value == otherwise) return false;
  throw std::invalid_argument{"environment variable " + std::string{variable} + " is '" + std::string{value} + "'; " +
                              std::string{allowed} + " is allowed"};
}

}  // namespace penstock::detail
