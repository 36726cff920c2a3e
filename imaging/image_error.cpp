// SPDX-License-Identifier: Apache-2.0
#include "imaging/image_error.hpp"

namespace penstock::imaging {

std::string_view to_string(image_error_kind kind) noexcept {
  switch (kind) {
    case image_error_kind::unsupported_format: return "unsupported_format";
    case image_error_kind::truncated: return "truncated";
    case image_error_kind::corrupt: return "corrupt";
    case image_error_kind::too_large: return "too_large";
    case image_error_kind::empty: return "empty";
  }
  return "unknown";
}

}  // namespace penstock::imaging
