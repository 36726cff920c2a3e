// SPDX-License-Identifier: Apache-2.0
#include "cli/run_output.hpp"

#include "tests/support/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RunOutput : public testing::Test {
 protected:
  RunOutput() {
    options_.out = folder_.path();
    options_.transform.crop = 1;
    options_.dtype = imaging::element_type::u8;
    options_.shard_size = 2;
  }
  static prepared item() {
    return {std::vector<std::uint8_t>{1, 2, 3},
            imaging::blank_image(imaging::contact_sheet::tile_side, imaging::contact_sheet::tile_side), 5, 6};
  }

  test::temporary_folder folder_;
  preprocess_options options_;
  run_report report_;
};

TEST_F(RunOutput, SalvageKeepsWholeShardsAndListsNothingElse) {
  run_output output{options_};
  output.add_failed("bad", {"decode", "corrupt", "why"});
  output.add("a", item());
  output.add("b", item());
  output.add_failed("worse", {"decode", "corrupt", "why"});
  output.add("c", item());
  output.add_failed("worst", {"decode", "corrupt", "why"});
  output.salvage(report_);
  EXPECT_TRUE(report_.saved);
  EXPECT_EQ(report_.items.written, 2U);
  EXPECT_EQ(report_.items.failed, 2U);
  EXPECT_THAT(test::names_in(folder_.path()), ElementsAre("manifest.jsonl", "run.json", "shard-000000.npy"));
  auto const text = test::read_file(folder_ / "manifest.jsonl");
  EXPECT_EQ(std::ranges::count(text, '\n'), 4);
}

TEST_F(RunOutput, SalvageWithoutAWholeShardLeavesNothing) {
  {
    run_output output{options_};
    output.add("a", item());
    output.salvage(report_);
  }
  EXPECT_FALSE(report_.saved);
  EXPECT_THAT(test::names_in(folder_.path()), IsEmpty());
}

TEST_F(RunOutput, FinishWritesEverything) {
  run_output output{options_};
  output.add("a", item());
  output.finish(report_);
  EXPECT_TRUE(report_.saved);
  EXPECT_EQ(nlohmann::json::parse(test::read_file(folder_ / "run.json"))["shards"][0]["rows"], 1);
  EXPECT_THAT(test::names_in(folder_.path()),
              ElementsAre("contact.png", "manifest.jsonl", "run.json", "shard-000000.npy"));
}

}  // namespace
}  // namespace penstock::cli
