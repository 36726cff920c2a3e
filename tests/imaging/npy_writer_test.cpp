// SPDX-License-Identifier: Apache-2.0
#include "imaging/npy_writer.hpp"

#include "imaging/shard_writer.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/npy.hpp"
#include "tests/support/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace penstock::imaging {
namespace {

using test::names_in;
using test::read_npy;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;
using testing::ThrowsMessage;

template <class Element, std::size_t Count>
std::span<std::byte const> bytes(std::array<Element, Count> const& elements) {
  return std::as_bytes(std::span{elements});
}

TEST(NpyWriter, WritesWhatNumpyReads) {
  test::temporary_folder const folder;
  npy_writer writer{folder / "a.npy", element_type::f32, {2, 1}};
  writer.append(bytes(std::array{1.0F, -2.5F}));
  writer.append(bytes(std::array{3.0F, 4.0F}));
  writer.commit();
  auto const array = read_npy(folder / "a.npy");
  EXPECT_EQ(array.type, "<f4");
  EXPECT_THAT(array.shape, ElementsAre(2, 2, 1));
  EXPECT_THAT(array.elements<float>(), ElementsAre(1.0F, -2.5F, 3.0F, 4.0F));
}

TEST(NpyWriter, TheDataStartAtAMultipleOf64Bytes) {
  auto const header = npy_header(element_type::u8, 1'000'000'000, std::array<std::size_t, 3>{3, 4096, 4096});
  EXPECT_EQ(header.size() % 64, 0U);
  EXPECT_EQ(header.back(), std::byte{'\n'});
}

TEST(NpyWriter, TheFileHasItsNameOnlyOnceItIsWhole) {
  test::temporary_folder const folder;
  {
    npy_writer writer{folder / "a.npy", element_type::u8, {1}};
    writer.append(bytes(std::array{std::uint8_t{7}}));
    EXPECT_THAT(names_in(folder.path()), ElementsAre(".a.npy.partial"));
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(NpyWriter, RefusesARowOfAnotherSize) {
  test::temporary_folder const folder;
  npy_writer writer{folder / "a.npy", element_type::u8, {2}};
  EXPECT_THROW(writer.append(bytes(std::array{std::uint8_t{7}})), std::invalid_argument);
}

TEST(NpyWriter, AFullDiskNamesTheFileAndLeavesNothing) {
  test::temporary_folder const folder;
  {
    test::file_size_limit const full{300'000};
    npy_writer writer{folder / "a.npy", element_type::u8, {200'000}};
    std::vector<std::byte> const row(200'000);
    writer.append(row);
    EXPECT_THAT([&] { writer.append(row); },
                ThrowsMessage<std::system_error>(StartsWith("writing " + (folder / "a.npy").string() + ": ")));
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(NpyWriter, AFolderThatIsMissingIsNamed) {
  test::temporary_folder const folder;
  EXPECT_THAT(
      ([&] { npy_writer{folder / "no/a.npy", element_type::u8, {1}}; }),
      ThrowsMessage<std::system_error>("writing " + (folder / "no/a.npy").string() + ": No such file or directory"));
}

TEST(PartialFile, TruncateForgetsBufferedAndWrittenBytes) {
  test::temporary_folder const folder;
  partial_file file{folder / "a"};
  file.append("keep");
  file.append(std::string(100'000, 'x'));
  file.append("tail");
  file.truncate(100'005);
  EXPECT_EQ(file.size_bytes(), 100'005U);
  file.truncate(4);
  file.append("!");
  file.commit();
  EXPECT_EQ(test::read_file(folder / "a"), "keep!");
}

TEST(ShardWriter, BeginsANewShardWhenOneIsFull) {
  test::temporary_folder const folder;
  shard_writer writer{{folder.path(), element_type::u8, {1}, 2}};
  EXPECT_TRUE(writer.settled());
  for (std::uint8_t value = 0; value != 5; ++value) {
    auto const where = writer.append(bytes(std::array{value}));
    EXPECT_EQ(where.shard, shard_writer::shard_name(value / 2U));
    EXPECT_EQ(where.row, value % 2U);
    EXPECT_EQ(writer.settled(), value % 2 == 1);
  }
  writer.finish();
  EXPECT_THAT(names_in(folder.path()), ElementsAre("shard-000000.npy", "shard-000001.npy", "shard-000002.npy"));
  EXPECT_EQ(read_npy(folder / "shard-000001.npy").rows(), 2U);
  EXPECT_EQ(read_npy(folder / "shard-000002.npy").data, std::string(1, '\4'));
}

TEST(ShardWriter, KnowsItsNames) {
  EXPECT_TRUE(shard_writer::is_shard_name("shard-000000.npy"));
  EXPECT_TRUE(shard_writer::is_shard_name(shard_writer::shard_name(12'345'678)));
  for (auto const* const name : {"shard-1.npy", "shard-00000a.npy", "shard-000000.npz", ".shard-000000.npy.partial"}) {
    EXPECT_FALSE(shard_writer::is_shard_name(name)) << name;
  }
}

}  // namespace
}  // namespace penstock::imaging
