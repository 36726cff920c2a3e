// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <penstock/usable_processors.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

namespace penstock::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::variant<preprocess_options, answer> parse(std::vector<std::string> const& words) {
  std::vector<char const*> argv{"penstock"};
  for (std::string const& word : words) argv.push_back(word.c_str());
  return parse_arguments(static_cast<int>(argv.size()), argv.data());
}

preprocess_options options_of(std::vector<std::string> const& words) {
  return std::get<preprocess_options>(parse(words));
}

TEST(Arguments, InputsAreTakenAsTheyStand) {
  auto const options =
      options_of({"preprocess", "[a,b]", "\"q\"", "a\\x41", "--out", "[o, p]", "{}", "preprocess", "@l"});
  EXPECT_THAT(options.inputs, ElementsAre("[a,b]", "\"q\"", "a\\x41", "{}", "preprocess", "@l"));
  EXPECT_EQ(options.out, "[o, p]");
}

TEST(Arguments, AfterTwoDashesEverythingIsAnInput) {
  auto const options = options_of({"preprocess", "--out", "o", "a", "--", "-b", "--json", "--"});
  EXPECT_THAT(options.inputs, ElementsAre("a", "-b", "--json", "--"));
  EXPECT_FALSE(options.json);
}

TEST(Arguments, HaveTheDocumentedDefaults) {
  auto const options = options_of({"preprocess", "--out", "o", "a"});
  EXPECT_EQ(options.transform.resize, 256);
  EXPECT_EQ(options.transform.crop, 224);
  EXPECT_TRUE(options.transform.exif);
  EXPECT_EQ(options.transform.max_pixels, 179'000'000U);
  EXPECT_EQ(options.dtype, imaging::element_type::f32);
  EXPECT_EQ(options.workers, usable_processors());
  EXPECT_EQ(options.shard_size, 1024U);
  EXPECT_FALSE(options.max_errors);
}

TEST(Arguments, ErrorsNameWhatWasNotUnderstood) {
  EXPECT_THAT([] { parse({"preprocess", "a", "--out", "o", "-z"}); }, ThrowsMessage<usage_error>(HasSubstr("'-z'")));
  EXPECT_THAT([] { parse({"prepros"}); }, ThrowsMessage<usage_error>(HasSubstr("unknown command 'prepros'")));
  EXPECT_THAT([] { parse({}); }, ThrowsMessage<usage_error>(HasSubstr("command is missing")));
  EXPECT_THAT([] { parse({"preprocess", "--crop", "1", "--crop", "2"}); },
              ThrowsMessage<usage_error>(HasSubstr("--crop")));
  EXPECT_THAT([] { parse({"preprocess", "a", "--out", "o", "--json=3"}); },
              ThrowsMessage<usage_error>(HasSubstr("--json: '3' is not allowed")));
}

TEST(Arguments, HelpAndVersionAreAnswers) {
  EXPECT_THAT(std::get<answer>(parse({"preprocess", "--help"})).text, HasSubstr("INPUT... --out DIR"));
  EXPECT_THAT(std::get<answer>(parse({"--version"})).text, HasSubstr("penstock "));
}

}  // namespace
}  // namespace penstock::cli
