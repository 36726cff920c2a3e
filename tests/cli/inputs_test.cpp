// SPDX-License-Identifier: Apache-2.0
#include "cli/inputs.hpp"

#include "tests/support/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;
using test::write_file;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> paths(input_list const& inputs) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i != inputs.size(); ++i) result.push_back(inputs.path(i));
  return result;
}

input_list list_of(std::vector<std::string> const& arguments) { return input_list{arguments}; }

// What a folder argument stands for, with "root/" in the place of the folder.
std::vector<std::string> below(test::temporary_folder const& folder) {
  auto found = paths(list_of({folder.path().string()}));
  for (std::string& path : found) path.replace(0, folder.path().string().size(), "root");
  return found;
}

TEST(InputList, WalksFoldersInTheOrderOfTheNamesBytes) {
  test::temporary_folder const folder;
  for (char const* const name :
       {"b.jpg", "B.jpg", "a/2.jpg", "a/10.jpg", "a.jpg", "a-b.jpg", "\xC3\xA4.jpg", "c/d/e"}) {
    write_file(folder / name);
  }
  EXPECT_THAT(below(folder), ElementsAre("root/B.jpg", "root/a/10.jpg", "root/a/2.jpg", "root/a-b.jpg", "root/a.jpg",
                                         "root/b.jpg", "root/c/d/e", "root/\xC3\xA4.jpg"));
}

TEST(InputList, KeepsArgumentsInTheirOrderAndAsTyped) {
  test::temporary_folder const folder;
  auto const b = write_file(folder / "b");
  auto const a = write_file(folder / "a");
  std::string const typed = folder.path().string() + "//";
  EXPECT_THAT(paths(list_of({b, a, b, typed})), ElementsAre(b, a, b, typed + "a", typed + "b"));
}

TEST(InputList, RefusesAListWithZeroBytes) {
  test::temporary_folder const folder;
  auto const list = write_file(folder / "list", std::string{"a.jpg\0b.jpg\0", 12});
  EXPECT_THROW(list_of({"@" + list}), std::runtime_error);
}

TEST(InputList, LeavesHiddenEntriesOutUnlessTheyAreNamed) {
  test::temporary_folder const folder;
  auto const hidden = write_file(folder / ".hidden");
  write_file(folder / ".git/config");
  write_file(folder / "seen");
  EXPECT_EQ(list_of({folder.path().string()}).hidden(), 2U);
  EXPECT_THAT(below(folder), ElementsAre("root/seen"));
  EXPECT_THAT(paths(list_of({hidden})), ElementsAre(hidden));
}

TEST(InputList, FollowsLinksToFilesAndFolders) {
  test::temporary_folder const elsewhere;
  write_file(elsewhere / "x");
  test::temporary_folder const folder;
  fs::create_symlink(elsewhere.path(), folder / "folder");
  fs::create_symlink(elsewhere / "x", folder / "file");
  fs::create_symlink("nowhere", folder / "nothing");
  EXPECT_THAT(below(folder), ElementsAre("root/file", "root/folder/x", "root/nothing"));
}

TEST(InputList, DoesNotFollowALinkIntoAFolderThatContainsIt) {
  test::temporary_folder const folder;
  write_file(folder / "a/x");
  fs::create_symlink("..", folder / "a/up");
  auto const inputs = list_of({folder.path().string()});
  ASSERT_THAT(below(folder), ElementsAre("root/a/up", "root/a/x"));
  ASSERT_NE(inputs.problem(0), nullptr);
  EXPECT_EQ(inputs.problem(0)->kind(), input_error_kind::not_a_file);
  EXPECT_EQ(inputs.problem(1), nullptr);
}

TEST(InputList, ListsFifosWithoutOpeningThem) {
  test::temporary_folder const folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(below(folder), ElementsAre("root/pipe"));
}

TEST(InputList, ReadsPathsFromAList) {
  test::temporary_folder const folder;
  auto const b = write_file(folder / "b");
  write_file(folder / "sub/a");
  auto const sub = (folder / "sub").string();
  auto const list = write_file(folder / "list.txt", b + "\r\n\n" + sub + "\nno such file\n" + b);
  EXPECT_THAT(paths(list_of({"@" + list})), ElementsAre(b, sub + "/a", "no such file", b));
}

TEST(InputList, RefusesArgumentsThatDoNotExist) {
  test::temporary_folder const folder;
  auto const missing = (folder / "missing").string();
  EXPECT_THAT([&] { list_of({missing}); }, ThrowsMessage<std::runtime_error>(HasSubstr(missing + "': No such file")));
  EXPECT_THAT([&] { list_of({"@" + missing}); }, ThrowsMessage<std::runtime_error>(HasSubstr("@" + missing)));
  EXPECT_THAT([&] { list_of({"@" + folder.path().string()}); },
              ThrowsMessage<std::runtime_error>(HasSubstr("Is a directory")));
}

TEST(InputList, AnEmptyFolderHasNoItems) {
  test::temporary_folder const folder;
  EXPECT_EQ(list_of({folder.path().string()}).size(), 0U);
}

TEST(InputList, KeepsNamesThatAreNotUtf8) {
  test::temporary_folder const folder;
  write_file(folder / "caf\xE9");
  EXPECT_THAT(below(folder), ElementsAre("root/caf\xE9"));
}

}  // namespace
}  // namespace penstock::cli
