// SPDX-License-Identifier: Apache-2.0
#include "cli/run_report.hpp"

#include "cli/text.hpp"

#include <penstock/version.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>

namespace penstock::cli {

namespace {

using json = nlohmann::ordered_json;

double per_second(run_report const& report) {
  auto const finished = static_cast<double>(report.items.finished());
  return report.elapsed.count() > 0 ? finished / report.elapsed.count() : 0;
}

// The shortest decimal that reads back as the same float: 0.485, not 0.48500001430511475.
json plain(std::array<float, 3> const& values) {
  json list = json::array();
  for (float const value : values) list.push_back(std::stod(fmt::format("{}", value)));
  return list;
}

json options_json(preprocess_options const& options) {
  json inputs = json::array();
  for (std::string const& input : options.inputs) inputs.push_back(escape_name(input));
  return {{"inputs", inputs},
          {"out", escape_name(options.out.string())},
          {"resize", options.transform.resize},
          {"crop", options.transform.crop},
          {"dtype", imaging::to_string(options.dtype)},
          {"mean", plain(options.statistics.mean)},
          {"std", plain(options.statistics.std)},
          {"exif", options.transform.exif},
          {"max_pixels", options.transform.max_pixels},
          {"workers", options.workers},
          {"shard_size", options.shard_size},
          {"max_errors", options.max_errors ? json(*options.max_errors) : json()}};
}

json stages_json(run_report const& report) {
  json list = json::array();
  for (stage_figures const& stage : report.stages) {
    list.push_back({{"name", stage.name},
                    {"concurrency", stage.concurrency},
                    {"done", stage.done},
                    {"failed", stage.failed},
                    {"busy_seconds", stage.busy.count()}});
  }
  return list;
}

json shards_json(run_report const& report) {
  json list = json::array();
  for (auto const& shard : report.shards) list.push_back({{"file", shard.name}, {"rows", shard.rows}});
  return list;
}

std::string headline(run_report const& report) {
  std::string text = fmt::format("{} of {} written", report.items.written, counted(report.inputs, "input"));
  if (report.items.failed != 0) text += fmt::format(", {} failed", report.items.failed);
  std::size_t const untouched = report.inputs - report.items.finished();
  if (untouched != 0) text += fmt::format(", {} not done", untouched);
  text += fmt::format(" in {:.2f} s ({:.1f} images/s)\n", report.elapsed.count(), per_second(report));
  return text;
}

std::string failures(run_report const& report, std::string const& manifest_path) {
  std::string text;
  for (auto const& [input, failure] : report.items.first_failures) {
    text += fmt::format("  failed: {}: {}: {} ({})\n", printable(input), failure.stage, printable(failure.what),
                        failure.kind);
  }
  if (report.items.failed > report.items.first_failures.size()) {
    text += fmt::format("  and {} more, each named in {}\n", report.items.failed - report.items.first_failures.size(),
                        manifest_path);
  }
  return text;
}

}  // namespace

void tally::add_failed(std::string_view input, item_failure const& failure) {
  ++failed;
  ++failed_by_kind[failure.kind];
  if (first_failures.size() < max_named) first_failures.push_back({std::string{input}, failure});
}

exit_code run_report::code() const {
  if (!error.empty()) return exit_code::run_failed;
  if (interrupted) return exit_code::interrupted;
  return items.failed == 0 ? exit_code::all_written : exit_code::some_failed;
}

std::string to_json(run_report const& report, preprocess_options const& options) {
  json const object{{"penstock", PENSTOCK_VERSION_STRING},
                    {"command", "preprocess"},
                    {"options", options_json(options)},
                    {"inputs", report.inputs},
                    {"written", report.items.written},
                    {"failed", report.items.failed},
                    {"failed_by_kind", report.items.failed_by_kind},
                    {"hidden_entries_left_out", report.hidden},
                    {"interrupted", report.interrupted},
                    {"error", report.error.empty() ? json() : json(report.error)},
                    {"exit_code", static_cast<int>(report.code())},
                    {"seconds", report.elapsed.count()},
                    {"images_per_second", per_second(report)},
                    {"stages", stages_json(report)},
                    {"shards", shards_json(report)}};
  return object.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string to_text(run_report const& report, preprocess_options const& options) {
  auto const in_folder = [&](std::string_view name) { return printable((options.out / name).string()); };
  std::string text = headline(report) + failures(report, in_folder(manifest::file_name));
  if (report.hidden != 0) text += fmt::format("  hidden entries of folders left out: {}\n", report.hidden);
  if (!report.shards.empty()) {
    int const crop = options.transform.crop;
    text += fmt::format("  arrays    {}{} (rows of 3x{}x{}, {})\n", in_folder(report.shards.front().name),
                        report.shards.size() == 1 ? "" : " ... " + report.shards.back().name, crop, crop,
                        imaging::to_string(options.dtype));
  }
  text += fmt::format("  manifest  {}\n", in_folder(manifest::file_name));
  if (report.on_sheet == 0) return text;
  text += fmt::format("  sheet     {}{}\n", in_folder(contact_file_name),
                      report.on_sheet < report.items.finished() ? fmt::format(" (the first {})", report.on_sheet) : "");
  return text;
}

}  // namespace penstock::cli
