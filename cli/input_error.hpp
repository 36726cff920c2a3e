// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace penstock::cli {

enum class input_error_kind { not_a_file, unreadable, too_large };

/// The kind as it stands in the manifest.
constexpr std::string_view to_string(input_error_kind kind) {
  switch (kind) {
    case input_error_kind::not_a_file: return "not_a_file";
    case input_error_kind::unreadable: return "unreadable";
    case input_error_kind::too_large: return "too_large";
  }
  return "unreadable";
}

/// One input could not be read; the others can go on.
class input_error : public std::runtime_error {
 public:
  input_error(input_error_kind kind, std::string const& what) : std::runtime_error{what}, kind_{kind} {}
  [[nodiscard]] input_error_kind kind() const { return kind_; }

 private:
  input_error_kind kind_;
};

}  // namespace penstock::cli
