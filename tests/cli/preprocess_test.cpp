// SPDX-License-Identifier: Apache-2.0
#include "imaging/image.hpp"
#include "imaging/png_write.hpp"
#include "tests/cli/program.hpp"
#include "tests/support/npy.hpp"
#include "tests/support/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::vector<std::byte> plain_png(int width, int height, std::uint8_t level) {
  imaging::image picture = imaging::blank_image(width, height);
  std::ranges::fill(picture.pixels, level);
  return imaging::encode_png(picture);
}

std::vector<std::byte> noise_png(int side) {
  imaging::image picture = imaging::blank_image(side, side);
  std::uint32_t state = 1;
  for (std::uint8_t& value : picture.pixels)
    value = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return imaging::encode_png(picture);
}

std::size_t lines_in(std::string const& text) { return static_cast<std::size_t>(std::ranges::count(text, '\n')); }

class Preprocess : public testing::Test {
 protected:
  // Pictures in in/ whose level tells their place: 000.png is black, 001.png has level 1, ...
  void make_pictures(int count) {
    for (int i = 0; i != count; ++i) {
      std::string name = std::to_string(i);
      name.insert(0, 3 - name.size(), '0');
      write_file(in() / (name + ".png"), plain_png(40, 30, static_cast<std::uint8_t>(i)));
    }
  }
  // A list that names one picture so often that a run over it takes a minute.
  std::string endless_list() {
    auto const picture = write_file(in() / "noise.png", noise_png(300));
    std::string lines;
    for (int i = 0; i != 50'000; ++i) lines += picture + '\n';
    return "@" + write_file(folder_ / "list.txt", lines);
  }
  [[nodiscard]] fs::path in() const { return folder_ / "in"; }
  [[nodiscard]] fs::path out() const { return folder_ / "out"; }

  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {PENSTOCK_PROGRAM, "preprocess"});
    return arguments;
  }
  [[nodiscard]] program::result run(std::vector<std::string> arguments) const {
    return program{command(std::move(arguments))}.finish();
  }
  // A run over in/ to out/.
  [[nodiscard]] program::result run_over_in(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {in().string(), "--out", out().string()});
    return run(std::move(more));
  }
  [[nodiscard]] std::vector<json> manifest() const {
    std::istringstream lines{read_file(out() / "manifest.jsonl")};
    std::vector<json> rows;
    for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
    return rows;
  }
  [[nodiscard]] json run_json() const { return json::parse(read_file(out() / "run.json")); }
  // Every row that the manifest tells of is there, and no other.
  void expect_shards_match_manifest() const {
    std::map<std::string, std::size_t> rows;
    for (json const& row : manifest()) {
      if (row["status"] != "ok") continue;
      EXPECT_EQ(row["row"], rows[row["shard"]]++);
    }
    for (auto const& [shard, count] : rows) EXPECT_EQ(read_npy(out() / shard).rows(), count);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count_if(
                  names_in(out()), [](std::string const& name) { return name.starts_with("shard-"); })),
              rows.size());
  }
  void expect_no_partial_file() const { EXPECT_THAT(names_in(out()), Not(Contains(EndsWith(".partial")))); }

  temporary_folder folder_;
};

TEST_F(Preprocess, WritesAllItemsInInputOrder) {
  make_pictures(25);
  auto const result = run_over_in({"--shard-size", "10", "--dtype", "u8", "--workers", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(result.out, StartsWith("25 of 25 inputs written"));
  EXPECT_THAT(names_in(out()), ElementsAre("contact.png", "manifest.jsonl", "run.json", "shard-000000.npy",
                                           "shard-000001.npy", "shard-000002.npy"));
  auto const rows = manifest();
  ASSERT_EQ(rows.size(), 25U);
  for (std::size_t i = 0; i != rows.size(); ++i) {
    EXPECT_EQ(rows[i]["index"], i);
    EXPECT_THAT(rows[i]["input"].get<std::string>(), StartsWith((in() / "").string()));
    EXPECT_EQ(rows[i]["shard"], "shard-00000" + std::to_string(i / 10) + ".npy");
    EXPECT_EQ(rows[i]["row"], i % 10);
    EXPECT_EQ(rows[i]["width"], 40);
    EXPECT_EQ(rows[i]["height"], 30);
    auto const shard = read_npy(out() / rows[i]["shard"]);
    EXPECT_EQ(static_cast<std::size_t>(shard.data[i % 10 * 3 * 224 * 224]), i);
  }
  expect_shards_match_manifest();
}

TEST_F(Preprocess, NormalisedValuesAreThoseOfTheBytes) {
  write_file(in() / "noise.png", noise_png(300));
  ASSERT_EQ(run_over_in().exit_code, 0);
  ASSERT_EQ(run({in().string(), "--out", (folder_ / "u8").string(), "--dtype", "u8"}).exit_code, 0);
  auto const floats = read_npy(out() / "shard-000000.npy");
  auto const bytes = read_npy(folder_ / "u8" / "shard-000000.npy");
  EXPECT_EQ(floats.type, "<f4");
  EXPECT_EQ(bytes.type, "|u1");
  EXPECT_THAT(floats.shape, ElementsAre(1, 3, 224, 224));
  EXPECT_EQ(bytes.shape, floats.shape);
  auto const values = floats.elements<float>();
  auto const levels = bytes.elements<std::uint8_t>();
  constexpr std::array mean{0.485, 0.456, 0.406};
  constexpr std::array deviation{0.229, 0.224, 0.225};
  double worst = 0;
  for (std::size_t i = 0; i != values.size(); ++i) {
    std::size_t const channel = i / (224 * 224);
    worst = std::max(worst, std::abs(values[i] - (levels[i] / 255.0 - mean[channel]) / deviation[channel]));
  }
  EXPECT_LT(worst, 1e-5);
}

TEST_F(Preprocess, TakesMeanDeviationAndSizesFromItsFlags) {
  write_file(in() / "a.png", plain_png(50, 50, 255));
  ASSERT_EQ(run_over_in({"--mean", "0,0.5,1", "--std", "1,0.5,2", "--resize", "20", "--crop", "10"}).exit_code, 0);
  auto const array = read_npy(out() / "shard-000000.npy");
  EXPECT_THAT(array.shape, ElementsAre(1, 3, 10, 10));
  auto const values = array.elements<float>();
  EXPECT_FLOAT_EQ(values[0], 1);
  EXPECT_FLOAT_EQ(values[100], 1);
  EXPECT_NEAR(values[200], 0, 1e-6);
}

TEST_F(Preprocess, BadItemsFailAloneAndAreNamed) {
  auto const whole = noise_png(100);
  write_file(in() / "1-good.png", whole);
  write_file(in() / "2-empty.jpg");
  write_file(in() / "3-text.jpg", "not a picture");
  write_file(in() / "4-cut.png", std::span{whole}.first(whole.size() / 2));
  ASSERT_EQ(::mkfifo((in() / "5-pipe").c_str(), 0600), 0);
  fs::create_symlink("nowhere", in() / "6-link");
  fs::create_symlink("7-self", in() / "7-self");
  fs::create_symlink(".", in() / "8-here");
  write_file(in() / "9-huge.png", plain_png(200, 200, 9));
  auto const result = run_over_in({"--max-pixels", "30000"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  std::vector<std::string> seen;
  for (json const& row : manifest()) {
    if (row["status"] == "ok") {
      EXPECT_FALSE(row.contains("error"));
      seen.emplace_back("ok");
    } else {
      EXPECT_FALSE(row.contains("row"));
      EXPECT_THAT(row["error"]["what"].get<std::string>(), Not(IsEmpty()));
      seen.push_back(row["error"]["stage"].get<std::string>() + ":" + row["error"]["kind"].get<std::string>());
    }
  }
  EXPECT_THAT(seen,
              ElementsAre("ok", "decode:empty", "decode:unsupported_format", "decode:truncated", "read:not_a_file",
                          "read:not_a_file", "read:unreadable", "read:not_a_file", "decode:too_large"));
  EXPECT_THAT(result.out, HasSubstr("2-empty.jpg"));
  EXPECT_THAT(result.out, HasSubstr("and 3 more, each named in"));
  EXPECT_EQ(run_json()["failed_by_kind"]["not_a_file"], 3);
  expect_shards_match_manifest();
}

TEST_F(Preprocess, NoGoodItemLeavesNoShard) {
  write_file(in() / "a", "x");
  EXPECT_EQ(run_over_in().exit_code, 3);
  EXPECT_THAT(names_in(out()), ElementsAre("contact.png", "manifest.jsonl", "run.json"));
}

TEST_F(Preprocess, NamesThatAreNotUtf8AreEscaped) {
  write_file(in() / "caf\xE9 \\ \n.png", plain_png(9, 9, 1));
  EXPECT_EQ(run_over_in().exit_code, 0);
  EXPECT_THAT(manifest().at(0)["input"].get<std::string>(), EndsWith("/caf\\xE9 \\\\ \n.png"));
}

TEST_F(Preprocess, JsonIsTheRunFileAndNothingElse) {
  make_pictures(3);
  auto const result = run_over_in({"--json", "--workers", "3"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, read_file(out() / "run.json"));
  auto const run = json::parse(result.out);
  EXPECT_EQ(run["inputs"], 3);
  EXPECT_EQ(run["written"], 3);
  EXPECT_EQ(run["options"]["workers"], 3);
  EXPECT_EQ(run["options"]["std"].dump(), "[0.229,0.224,0.225]");
  EXPECT_EQ(run["stages"][1]["name"], "decode");
  EXPECT_EQ(run["stages"][1]["done"], 3);
}

TEST_F(Preprocess, AClosedPipeDoesNotHarmTheRun) {
  make_pictures(3);
  program reader_gone{command({in().string(), "--out", out().string(), "--json"})};
  reader_gone.close_stdout();
  auto const result = reader_gone.finish();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(manifest().size(), 3U);
}

TEST_F(Preprocess, ClosedStandardStreamsDoNotHarmTheRun) {
  make_pictures(3);
  auto const closed = [] {
    for (int const stream : {0, 1, 2}) ::close(stream);
  };
  program quiet{command({in().string(), "--out", out().string(), "--progress", "always"}), closed};
  EXPECT_EQ(quiet.finish().exit_code, 0);
  EXPECT_EQ(manifest().size(), 3U);
  expect_shards_match_manifest();
}

TEST_F(Preprocess, EndsWhenTooManyItemsFail) {
  make_pictures(2);
  for (char const* const name : {"2", "3", "4", "5"}) write_file(in() / name, "x");
  auto const result = run_over_in({"--max-errors", "2"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("3 inputs failed, --max-errors allows 2"));
  EXPECT_EQ(lines_in(result.err), 1U);
  EXPECT_EQ(manifest().size(), 5U);
  EXPECT_EQ(run_json()["exit_code"], 1);
  expect_shards_match_manifest();

  fs::remove_all(out());
  EXPECT_EQ(run_over_in({"--max-errors", "4"}).exit_code, 3);
}

TEST_F(Preprocess, CtrlCWritesWhatIsFinished) {
  auto const list = endless_list();
  program running{command({list, "--out", out().string(), "--progress", "always", "--shard-size", "4"})};
  ASSERT_TRUE(running.read_until([&](std::string const&) { return fs::exists(out() / "shard-000001.npy"); }));
  running.send(SIGINT);
  auto const result = running.finish();
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
  EXPECT_THAT(result.out, HasSubstr("not done"));
  EXPECT_LT(manifest().size(), 50'000U);
  EXPECT_EQ(run_json()["interrupted"], true);
  EXPECT_EQ(run_json()["written"], manifest().size());
  expect_no_partial_file();
  expect_shards_match_manifest();
}

TEST_F(Preprocess, AKilledRunLeavesOnlyWholeFilesUnderTheirNames) {
  auto const list = endless_list();
  program running{command({list, "--out", out().string(), "--progress", "always", "--shard-size", "4"})};
  ASSERT_TRUE(running.read_until([&](std::string const&) { return fs::exists(out() / "shard-000001.npy"); }));
  running.send(SIGKILL);
  EXPECT_EQ(running.finish().signal, SIGKILL);
  for (std::string const& name : names_in(out())) {
    if (name.starts_with('.')) {
      EXPECT_THAT(name, EndsWith(".partial"));
    } else {
      EXPECT_EQ(read_npy(out() / name).rows(), 4U) << name;
    }
  }
}

TEST_F(Preprocess, RemovesPartialFilesOfAKilledRunAndNothingElse) {
  make_pictures(1);
  write_file(out() / ".shard-000000.npy.partial", "junk");
  write_file(out() / ".manifest.jsonl.partial", "junk");
  write_file(out() / ".mine.partial", "keep");
  write_file(out() / "notes.txt", "keep");
  EXPECT_EQ(run_over_in().exit_code, 0);
  EXPECT_THAT(names_in(out()), ElementsAre(".mine.partial", "contact.png", "manifest.jsonl", "notes.txt", "run.json",
                                           "shard-000000.npy"));
}

TEST_F(Preprocess, RefusesAFolderWithResults) {
  make_pictures(1);
  ASSERT_EQ(run_over_in().exit_code, 0);
  auto const before = read_file(out() / "manifest.jsonl");
  auto const result = run_over_in();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("already holds results"));
  EXPECT_EQ(read_file(out() / "manifest.jsonl"), before);
}

TEST_F(Preprocess, AFullDiskEndsTheRunAndLeavesNoHalfFile) {
  make_pictures(10);
  auto const limited = [] {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{300'000, 300'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  };
  auto const result = program{command({in().string(), "--out", out().string(), "--dtype", "u8"}), limited}.finish();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "penstock: writing " + (out() / "shard-000000.npy").string() + ": File too large\n");
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(names_in(out()), IsEmpty());
}

TEST_F(Preprocess, AFullDiskKeepsAndListsTheShardsThatAreWhole) {
  for (char const* const name : {"a.png", "b.png", "c.png"}) write_file(in() / name, noise_png(300));
  auto const limited = [] {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{20'000, 20'000};  // room for the shards, not for the contact sheet
    ::setrlimit(RLIMIT_FSIZE, &limit);
  };
  auto const ended =
      program{command({in().string(), "--out", out().string(), "--dtype", "u8", "--crop", "50", "--shard-size", "2"}),
              limited}
          .finish();
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.err, HasSubstr("contact.png: File too large"));
  EXPECT_THAT(names_in(out()), ElementsAre("manifest.jsonl", "run.json", "shard-000000.npy", "shard-000001.npy"));
  EXPECT_EQ(manifest().size(), 3U);
  expect_shards_match_manifest();
}

TEST_F(Preprocess, ARunThatCannotBeginSaysWhyInOneLine) {
  make_pictures(1);
  auto const file = write_file(folder_ / "file", "x");
  fs::create_directories(folder_ / "empty");
  std::vector<std::pair<std::vector<std::string>, std::string>> const cases{
      {{(folder_ / "missing").string(), "--out", out().string()}, "No such file or directory"},
      {{"@" + (folder_ / "missing").string(), "--out", out().string()}, "No such file or directory"},
      {{(folder_ / "empty").string(), "--out", out().string()}, "no inputs"},
      {{in().string(), "--out", file}, "Not a directory"},
      {{in().string(), "--out", "/proc/penstock"}, "--out /proc/penstock"}};
  for (auto const& [arguments, reason] : cases) {
    auto const result = run(arguments);
    EXPECT_EQ(result.exit_code, 1) << reason;
    EXPECT_THAT(result.err, HasSubstr(reason));
    EXPECT_EQ(lines_in(result.err), 1U) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Preprocess, WrongFlagsAreNamedWithWhatIsAllowed) {
  make_pictures(1);
  std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> const cases{
      {{"--frobnicate"}, {"--frobnicate"}},
      {{"--workers", "many"}, {"--workers", "'many'", "from 1 to"}},
      {{"--workers", "0"}, {"--workers", "'0'", "from 1 to"}},
      {{"--shard-size", "-1"}, {"--shard-size", "'-1'", "from 1 to"}},
      {{"--max-errors", "1.5"}, {"--max-errors", "'1.5'", "whole number"}},
      {{"--std", "0"}, {"--std", "'0'", "three numbers"}},
      {{"--std", "1,1,0"}, {"--std", "'1,1,0'"}},
      {{"--mean", "0.5,0.5"}, {"--mean", "'0.5,0.5'", "three numbers"}},
      {{"--mean", "a,b,c"}, {"--mean", "'a,b,c'"}},
      {{"--crop", "300"}, {"--crop", "'300'", "at most 256"}},
      {{"--dtype", "f16"}, {"--dtype", "'f16'", "f32|u8"}},
      {{"--progress", "loud"}, {"--progress", "'loud'", "auto|always|never"}},
      {{"--resize"}, {"--resize"}}};
  for (auto const& [flags, parts] : cases) {
    auto const result = run_over_in(flags);
    EXPECT_EQ(result.exit_code, 2) << flags[0];
    EXPECT_EQ(lines_in(result.err), 1U) << result.err;
    for (std::string const& part : parts) EXPECT_THAT(result.err, HasSubstr(part));
  }
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Preprocess, MissingArgumentsAreNamed) {
  EXPECT_THAT(run({in().string()}).err, HasSubstr("--out is missing"));
  EXPECT_THAT(run({"--out", out().string()}).err, HasSubstr("INPUT is missing"));
  EXPECT_EQ(run({in().string()}).exit_code, 2);
}

TEST_F(Preprocess, HelpAndVersionAreForStdout) {
  auto const help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (char const* const part : {"--shard-size", "Examples:", "Exit codes:", "130"})
    EXPECT_THAT(help.out, HasSubstr(part));
  auto const version = program{{PENSTOCK_PROGRAM, "--version"}}.finish();
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("penstock "));
  auto const nothing = program{{PENSTOCK_PROGRAM}}.finish();
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("preprocess"));
}

TEST_F(Preprocess, ProgressIsDrawnWhenAskedForAndTakenAway) {
  make_pictures(3);
  auto const result = run_over_in({"--progress", "always"});
  EXPECT_THAT(result.err, StartsWith("\r0/3"));
  EXPECT_THAT(result.err, EndsWith("\r\x1b[K"));
}

TEST_F(Preprocess, TwoRunsDoNotShareAFolder) {
  auto const list = endless_list();
  program first{command({list, "--out", out().string(), "--progress", "always"})};
  ASSERT_TRUE(first.read_until([](std::string const& err) { return !err.empty(); }));
  auto const second = run({in().string(), "--out", out().string()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another run is writing there"));
  first.send(SIGINT);
  EXPECT_EQ(first.finish().exit_code, 130);
}

}  // namespace
}  // namespace penstock::test
