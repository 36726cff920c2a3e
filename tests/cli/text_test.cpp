// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <string>

namespace penstock::cli {
namespace {

TEST(EscapeName, KeepsUtf8AndMarksOtherBytes) {
  EXPECT_EQ(escape_name("a/b c.jpg"), "a/b c.jpg");
  EXPECT_EQ(escape_name("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xB7"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xB7");
  EXPECT_EQ(escape_name("caf\xE9.jpg"), "caf\\xE9.jpg");
  EXPECT_EQ(escape_name("a\\b"), "a\\\\b");
}

TEST(EscapeName, RefusesWhatOnlyLooksLikeUtf8) {
  EXPECT_EQ(escape_name("\xC0\xAF"), "\\xC0\\xAF");                    // overlong
  EXPECT_EQ(escape_name("\xED\xA0\x80"), "\\xED\\xA0\\x80");           // surrogate
  EXPECT_EQ(escape_name("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(escape_name("\xE2\x82"), "\\xE2\\x82");                    // cut short
}

TEST(EscapeName, IsReversibleForAllBytes) {
  std::mt19937 random{7};
  for (int round = 0; round != 2000; ++round) {
    std::string name(random() % 12, '\0');
    for (char& c : name) c = random() % 4 == 0 ? '\\' : random() % 4 == 0 ? 'x' : static_cast<char>(random());
    EXPECT_EQ(unescape_name(escape_name(name)), name);
  }
}

TEST(UnescapeName, RefusesWhatEscapeNameCannotHaveWritten) {
  for (std::string const text : {"\\", "a\\q", "\\x1", "\\xZZ", "\\x1Z"}) {
    EXPECT_THROW((void)unescape_name(text), std::invalid_argument) << text;
  }
}

TEST(Printable, TakesControlCharactersOut) {
  EXPECT_EQ(printable("a\x1b[31mb\n"), "a\\x1B[31mb\\x0A");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xC2\\x9B");
  EXPECT_EQ(printable("\xC3\xA9 \\ \xFF"), "\xC3\xA9 \\ \\xFF");
}

TEST(Counted, KnowsThePlural) {
  EXPECT_EQ(counted(1, "item"), "1 item");
  EXPECT_EQ(counted(0, "item"), "0 items");
}

}  // namespace
}  // namespace penstock::cli
