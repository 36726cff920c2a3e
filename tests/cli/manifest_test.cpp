// SPDX-License-Identifier: Apache-2.0
#include "cli/manifest.hpp"

#include "cli/run_output.hpp"
#include "tests/support/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace penstock::cli {
namespace {

using testing::IsEmpty;

TEST(Manifest, HasOneLineAnItem) {
  test::temporary_folder const folder;
  manifest rows{folder.path()};
  rows.add_written("a \"b\".jpg", {"shard-000000.npy", 0}, 640, 480);
  rows.add_failed("caf\xE9.jpg", {"decode", "corrupt", "bad\nbyte \xFF"});
  rows.commit();
  EXPECT_EQ(
      test::read_file(folder / "manifest.jsonl"),
      R"({"index":0,"input":"a \"b\".jpg","status":"ok","shard":"shard-000000.npy","row":0,"width":640,"height":480})"
      "\n"
      R"({"index":1,"input":"caf\\xE9.jpg","status":"error",)"
      R"("error":{"stage":"decode","kind":"corrupt","what":"bad\nbyte )"
      "\xEF\xBF\xBD\"}}\n");
}

TEST(Manifest, HasNoNameBeforeItIsCommitted) {
  test::temporary_folder const folder;
  {
    manifest{folder.path()}.add_failed("a", {});
  }
  EXPECT_THAT(test::names_in(folder.path()), IsEmpty());
}

}  // namespace
}  // namespace penstock::cli
