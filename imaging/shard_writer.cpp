// SPDX-License-Identifier: Apache-2.0
#include "imaging/shard_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace penstock::imaging {

namespace {
constexpr std::string_view prefix = "shard-";
constexpr std::string_view suffix = ".npy";
}  // namespace

std::string shard_writer::shard_name(std::size_t number) { return fmt::format("{}{:06}{}", prefix, number, suffix); }

bool shard_writer::is_shard_name(std::string_view name) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() < prefix.size() + 6 + suffix.size()) {
    return false;
  }
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

shard_writer::shard_writer(shard_options options) : options_{std::move(options)} {}

shard_writer::place shard_writer::append(std::span<std::byte const> row) {
  std::string name = shard_name(shards_.size());
  if (!open_) open_.emplace(options_.folder / name, options_.type, options_.row_shape);
  open_->append(row);
  place const where{std::move(name), open_->rows() - 1};
  if (open_->rows() == options_.rows_per_shard) finish();
  return where;
}

void shard_writer::finish() {
  if (!open_) return;
  open_->commit();
  shards_.push_back({shard_name(shards_.size()), open_->rows()});
  open_.reset();
}

}  // namespace penstock::imaging
