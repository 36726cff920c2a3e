// SPDX-License-Identifier: Apache-2.0
#include "cli/read_file.hpp"

#include "cli/input_error.hpp"
#include "tests/support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

class ReadFile : public testing::Test {
 protected:
  // The kind of the failure and its text.
  std::string failure_of(fs::path const& path) {
    try {
      (void)read_file(path.string(), budget_);
    } catch (input_error const& error) {
      return std::string{to_string(error.kind())} + ": " + error.what();
    }
    return "none";
  }

  test::temporary_folder folder_;
  byte_budget budget_{1 << 20};
};

TEST_F(ReadFile, GivesTheBytesOfAFileAndOfALinkToIt) {
  auto const path = test::write_file(folder_ / "a", "hello");
  fs::create_symlink("a", folder_ / "link");
  EXPECT_EQ(read_file(path, budget_).bytes.size(), 5U);
  EXPECT_EQ(read_file((folder_ / "link").string(), budget_).bytes.size(), 5U);
}

TEST_F(ReadFile, ReadsFilesLargerThanTheBudgetAlone) {
  auto const path = test::write_file(folder_ / "a", std::string(2 << 20, 'x'));
  EXPECT_EQ(read_file(path, budget_).bytes.size(), std::size_t{2} << 20);
}

TEST_F(ReadFile, RefusesWhatIsNoFileWithoutOpeningIt) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder_ / "nothing");
  EXPECT_EQ(failure_of(folder_ / "pipe"), "not_a_file: is a FIFO, not a file");
  EXPECT_EQ(failure_of(folder_ / "nothing"), "not_a_file: is a link to nothing");
  EXPECT_EQ(failure_of(folder_.path()), "not_a_file: is a folder, not a file");
  EXPECT_EQ(failure_of("/dev/zero"), "not_a_file: is a device, not a file");
}

TEST_F(ReadFile, SaysWhyAFileCannotBeRead) {
  fs::create_symlink("self", folder_ / "self");
  EXPECT_EQ(failure_of(folder_ / "missing"), "unreadable: No such file or directory");
  EXPECT_EQ(failure_of(folder_ / "self"), "unreadable: Too many levels of symbolic links");
  if (::geteuid() == 0) return;  // root may read everything
  auto const path = test::write_file(folder_ / "secret", "x");
  fs::permissions(path, fs::perms::none);
  EXPECT_EQ(failure_of(path), "unreadable: Permission denied");
}

TEST_F(ReadFile, RefusesHugeFiles) {
  auto const path = test::write_file(folder_ / "huge");
  fs::resize_file(path, max_file_bytes + 1);
  EXPECT_EQ(failure_of(path).substr(0, 10), "too_large:");
}

}  // namespace
}  // namespace penstock::cli
