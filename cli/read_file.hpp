// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/byte_budget.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace penstock::cli {

/// A whole file in memory, and the part of the budget that it takes.
struct file_bytes {
  byte_budget::lease lease;
  std::vector<std::byte> bytes;
};

/// Larger files are refused: no photo is, and a disk image among the inputs should not take the machine's memory.
inline constexpr std::size_t max_file_bytes = std::size_t{1} << 30;

/// Reads the regular file at `path`, links followed. Blocks on the disk and until the budget has room.
/// Throws input_error: `not_a_file` for what is no regular file (which is not opened), `unreadable`, `too_large`.
file_bytes read_file(std::string const& path, byte_budget& budget);

}  // namespace penstock::cli
