// SPDX-License-Identifier: Apache-2.0
#include <penstock/size_bytes.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace elsewhere {

struct frame {
  int pixels = 0;
};
std::size_t size_bytes(frame const& of) { return static_cast<std::size_t>(of.pixels) * 3; }

// Like some JSON values: a range of itself.
struct tree {
  [[nodiscard]] tree const* begin() const { return this; }
  [[nodiscard]] tree const* end() const { return this + 1; }
  [[nodiscard]] std::size_t size() const { return 1; }
};

}  // namespace elsewhere

namespace {

using penstock::size_bytes;
using penstock::detail::has_fixed_size;

TEST(SizeBytes, CountsWhatContainersOwn) {
  EXPECT_EQ(size_bytes(7), sizeof(int));
  EXPECT_EQ(size_bytes(std::array<float, 10>{}), 40U);
  EXPECT_EQ(size_bytes(std::vector<std::uint8_t>(1'000)), sizeof(std::vector<std::uint8_t>) + 1'000);
  EXPECT_EQ(size_bytes(std::string(1'000, 'x')), sizeof(std::string) + 1'000);
  std::vector<std::string> const texts{std::string(10, 'a'), std::string(20, 'b')};
  EXPECT_EQ(size_bytes(texts), sizeof(std::vector<std::string>) + 2 * sizeof(std::string) + 30);
  std::map<int, std::string> const map{{1, "abc"}};
  EXPECT_EQ(size_bytes(map), sizeof(std::map<int, std::string>) + sizeof(std::pair<int const, std::string>) + 3);
}

TEST(SizeBytes, LooksIntoTuplesOptionalsVariantsAndPointers) {
  using bytes = std::vector<std::uint8_t>;
  std::tuple const both{1, bytes(100)};
  EXPECT_EQ(size_bytes(both), sizeof(both) + 100);
  EXPECT_EQ(size_bytes(std::pair{bytes(1), bytes(2)}), sizeof(std::pair<bytes, bytes>) + 3);
  EXPECT_EQ(size_bytes(std::optional<bytes>{}), sizeof(std::optional<bytes>));
  EXPECT_EQ(size_bytes(std::optional{bytes(5)}), sizeof(std::optional<bytes>) + 5);
  std::variant<int, bytes> either = bytes(9);
  EXPECT_EQ(size_bytes(either), sizeof(either) + 9);
  either = 1;
  EXPECT_EQ(size_bytes(either), sizeof(either));
  EXPECT_EQ(size_bytes(std::make_unique<bytes>(4)), sizeof(void*) + sizeof(bytes) + 4);
  EXPECT_EQ(size_bytes(std::unique_ptr<bytes>{}), sizeof(void*));
}

TEST(SizeBytes, AsksTheTypeItself) {
  EXPECT_EQ(size_bytes(elsewhere::frame{100}), 300U);
  std::vector<elsewhere::frame> const two{{1}, {2}};
  EXPECT_EQ(size_bytes(two), sizeof(std::vector<elsewhere::frame>) + 9);
  EXPECT_EQ(size_bytes(std::tuple{elsewhere::frame{100}}), sizeof(elsewhere::frame) + 300 - sizeof(elsewhere::frame));
}

TEST(SizeBytes, DoesNotFollowWhatOthersHold) {
  std::vector<int> const many(100);
  EXPECT_EQ(size_bytes(std::span{many}), sizeof(std::span<int const>));
  EXPECT_EQ(size_bytes(std::string_view{"abc"}), sizeof(std::string_view));
  EXPECT_EQ(size_bytes(std::make_shared<std::vector<int>>(100)), sizeof(std::shared_ptr<int>));
  EXPECT_EQ(size_bytes(elsewhere::tree{}), sizeof(elsewhere::tree));
}

TEST(SizeBytes, KnowsWhichTypesAreAllOfOneSize) {
  EXPECT_TRUE((has_fixed_size<int> && has_fixed_size<std::array<double, 3>> && has_fixed_size<std::string_view> &&
               has_fixed_size<std::tuple<int, std::optional<float>>> && has_fixed_size<void>));
  EXPECT_FALSE(has_fixed_size<std::string> || has_fixed_size<std::vector<int>> ||
               (has_fixed_size<std::array<std::string, 2>>) || has_fixed_size<std::unique_ptr<int>> ||
               (has_fixed_size<std::variant<int, std::string>>) || has_fixed_size<elsewhere::frame>);
}

}  // namespace
