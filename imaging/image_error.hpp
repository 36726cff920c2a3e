// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace penstock::imaging {

enum class image_error_kind {
  unsupported_format,  ///< another kind of file, or a variant of JPEG or PNG that is not decoded
  truncated,           ///< the file ends too early
  corrupt,             ///< the file breaks the rules of its format
  too_large,           ///< more pixels, memory or work than is allowed
  empty,               ///< a file of 0 bytes
};

/// The enumerator's name, as manifests write it: "unsupported_format", ...
std::string_view to_string(image_error_kind kind) noexcept;

/// Why one file gave no picture. what() names the format, what was met, what is wanted and, where there is something,
/// what to try; it does not name the file, which the decoder never knew.
class image_error : public std::runtime_error {
 public:
  image_error(image_error_kind kind, std::string const& message) : std::runtime_error{message}, kind_{kind} {}
  [[nodiscard]] image_error_kind kind() const noexcept { return kind_; }

 private:
  image_error_kind kind_;
};

}  // namespace penstock::imaging
