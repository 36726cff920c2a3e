// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/options.hpp"

#include <stdexcept>
#include <string>
#include <variant>

namespace penstock::cli {

/// The command line cannot be understood; what() is one line that names the flag, the value and what is allowed.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Text that the user asked for in place of work: help or the version.
struct answer {
  std::string text;
};

/// Understands a command line. Throws usage_error.
std::variant<preprocess_options, answer> parse_arguments(int argc, char const* const* argv);

/// What the program says of itself when it is called without arguments.
std::string help();

}  // namespace penstock::cli
