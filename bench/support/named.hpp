// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

namespace support {

/// The bench of a catalogue, or the row or column of a bench, with that name. Throws std::invalid_argument.
template <class Range>
auto const& named(Range const& range, std::string_view name) {
  auto const found = std::ranges::find_if(range, [&](auto const& each) { return each.name == name; });
  if (found == range.end())
    throw std::invalid_argument{"there is nothing to measure called '" + std::string{name} + "'"};
  return *found;
}

}  // namespace support
