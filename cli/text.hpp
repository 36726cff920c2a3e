// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace penstock::cli {

/// A file name as valid UTF-8, reversibly: a byte that is not part of UTF-8 becomes `\xNN`, a backslash becomes `\\`.
std::string escape_name(std::string_view name);
/// The bytes that escape_name() was given. Throws std::invalid_argument for a backslash that it cannot have written.
std::string unescape_name(std::string_view escaped);

/// Text for a terminal: control characters and bytes that are not UTF-8 become `\xNN`, so that a file's name cannot
/// move the cursor or colour the screen. Not reversible.
std::string printable(std::string_view text);

/// "1 photo", "2 photos".
std::string counted(std::size_t count, std::string_view noun);

/// Writes to stderr at once. A failure has nowhere to be told and is ignored.
void write_stderr(std::string const& text);

}  // namespace penstock::cli
