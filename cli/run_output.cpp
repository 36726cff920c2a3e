// SPDX-License-Identifier: Apache-2.0
#include "cli/run_output.hpp"

#include "imaging/partial_file.hpp"
#include "imaging/png_write.hpp"

#include <exception>
#include <utility>

namespace penstock::cli {

namespace {

imaging::shard_options shards_of(preprocess_options const& options) {
  auto const side = static_cast<std::size_t>(options.transform.crop);
  return {options.out, options.dtype, {3, side, side}, options.shard_size};
}

}  // namespace

run_output::run_output(preprocess_options const& options)
    : options_{options}, shards_{shards_of(options)}, manifest_{options.out} {}

void run_output::add(std::string_view input, prepared item) {
  auto const where = shards_.append(row_bytes(item));
  manifest_.add_written(input, where, item.width, item.height);
  if (imaging::contact_sheet::shows(now_.finished())) sheet_.add(now_.finished(), std::move(item.tile));
  ++now_.written;
  mark_if_settled();
}

void run_output::add_failed(std::string_view input, item_failure const& failure) {
  manifest_.add_failed(input, failure);
  if (imaging::contact_sheet::shows(now_.finished())) sheet_.add_failed(now_.finished());
  now_.add_failed(input, failure);
  mark_if_settled();
}

void run_output::finish(run_report& report) {
  shards_.finish();
  mark_if_settled();
  write_sheet();
  report.on_sheet = sheet_.size();
  commit(report);
}

void run_output::salvage(run_report& report) noexcept {
  try {
    shards_.abandon();
    manifest_.rollback();
    now_ = marked_;
    report.on_sheet = 0;
    if (!shards_.shards().empty()) commit(report);
  } catch (std::exception const&) {
    report.saved = false;  // the first failure is the one to tell
  }
}

void run_output::mark_if_settled() {
  if (!shards_.settled()) return;
  manifest_.mark();
  marked_ = now_;
}

void run_output::write_sheet() const {
  imaging::partial_file file{options_.out / contact_file_name};
  file.append(imaging::encode_png(sheet_.draw()));
  file.commit();
}

void run_output::commit(run_report& report) {
  report.items = now_;
  report.shards = shards_.shards();
  imaging::partial_file run_file{options_.out / run_file_name};
  run_file.append(to_json(report, options_));
  run_file.commit();
  manifest_.commit();
  imaging::sync_folder(options_.out);
  report.saved = true;
}

}  // namespace penstock::cli
