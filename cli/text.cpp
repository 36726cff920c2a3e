// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace penstock::cli {

namespace {

std::uint8_t byte_at(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

// Length of the well-formed UTF-8 sequence that starts `text` (RFC 3629: no overlong forms, no surrogates), or 0.
std::size_t sequence_length(std::string_view text) {
  std::uint8_t const lead = byte_at(text, 0);
  if (lead < 0x80) return 1;
  std::size_t const length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  std::uint8_t const lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  std::uint8_t const highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte_at(text, 1) < lowest || byte_at(text, 1) > highest) return 0;
  for (std::size_t i = 2; i != length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

bool is_control(std::string_view sequence) {
  if (sequence.size() == 1) return byte_at(sequence, 0) < 0x20 || sequence[0] == 0x7F;
  return sequence.size() == 2 && byte_at(sequence, 0) == 0xC2 && byte_at(sequence, 1) < 0xA0;
}

// Calls `keep` for each well-formed sequence and replaces every other byte.
template <class Keep>
std::string escape(std::string_view text, Keep keep) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    std::size_t const length = sequence_length(text);
    if (length == 0) {
      result += fmt::format("\\x{:02X}", byte_at(text, 0));
    } else {
      keep(result, text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

}  // namespace

std::string escape_name(std::string_view name) {
  return escape(name, [](std::string& result, std::string_view sequence) {
    result += sequence == "\\" ? std::string_view{"\\\\"} : sequence;
  });
}

std::string unescape_name(std::string_view escaped) {
  std::string result;
  while (!escaped.empty()) {
    std::size_t used = 1;
    if (escaped[0] != '\\') {
      result += escaped[0];
    } else if (escaped.starts_with("\\\\")) {
      result += '\\';
      used = 2;
    } else if (escaped.starts_with("\\x") && escaped.size() >= 4) {
      std::size_t digits = 0;
      result += static_cast<char>(std::stoi(std::string{escaped.substr(2, 2)}, &digits, 16));
      used = 4;
      if (digits != 2) throw std::invalid_argument{"unescape_name: \\x needs two hexadecimal digits"};
    } else {
      throw std::invalid_argument{"unescape_name: a backslash must be followed by a backslash or xNN"};
    }
    escaped.remove_prefix(used);
  }
  return result;
}

std::string printable(std::string_view text) {
  return escape(text, [](std::string& result, std::string_view sequence) {
    if (!is_control(sequence)) {
      result += sequence;
    } else {
      for (char const c : sequence) result += fmt::format("\\x{:02X}", static_cast<unsigned char>(c));
    }
  });
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void write_stderr(std::string const& text) { std::fputs(text.c_str(), stderr); }

}  // namespace penstock::cli
