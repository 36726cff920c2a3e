// SPDX-License-Identifier: Apache-2.0
#include "cli/manifest.hpp"

#include "cli/text.hpp"

#include <nlohmann/json.hpp>

namespace penstock::cli {

namespace {

nlohmann::ordered_json row(std::size_t index, std::string_view input, char const* status) {
  return {{"index", index}, {"input", escape_name(input)}, {"status", status}};
}

std::string line(nlohmann::ordered_json const& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace

void manifest::add_written(std::string_view input, imaging::shard_writer::place const& where, int width, int height) {
  auto object = row(items_++, input, "ok");
  object["shard"] = where.shard;
  object["row"] = where.row;
  object["width"] = width;
  object["height"] = height;
  file_.append(line(object));
}

void manifest::add_failed(std::string_view input, item_failure const& failure) {
  auto object = row(items_++, input, "error");
  object["error"] = {{"stage", failure.stage}, {"kind", failure.kind}, {"what", failure.what}};
  file_.append(line(object));
}

}  // namespace penstock::cli
