// SPDX-License-Identifier: Apache-2.0
#include "cli/preprocess.hpp"

#include "cli/byte_budget.hpp"
#include "cli/input_error.hpp"
#include "cli/inputs.hpp"
#include "cli/interrupt.hpp"
#include "cli/output_folder.hpp"
#include "cli/prepare.hpp"
#include "cli/progress.hpp"
#include "cli/read_file.hpp"
#include "cli/run_output.hpp"
#include "cli/text.hpp"
#include "imaging/contact_sheet.hpp"
#include "imaging/image_error.hpp"

#include <penstock/penstock.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace penstock::cli {

namespace {

using clock = std::chrono::steady_clock;

// Files read and not yet decoded, all together.
constexpr std::size_t read_ahead_bytes = std::size_t{64} << 20;
// Rows prepared and not yet written, as long as there is one for each worker.
constexpr std::size_t results_ahead_bytes = std::size_t{256} << 20;

// Adds up the time that a stage's bodies take.
class body_time {
 public:
  template <class Body>
  auto measure(Body body) {
    struct stopwatch {
      body_time& owner;
      clock::time_point start = clock::now();
      ~stopwatch() { owner.total_.fetch_add((clock::now() - start).count(), std::memory_order_relaxed); }
    } const running{*this};
    return body();
  }
  [[nodiscard]] std::chrono::duration<double> total() const {
    return clock::duration{total_.load(std::memory_order_relaxed)};
  }

 private:
  std::atomic<clock::rep> total_{0};
};

// The two stages: the number of an input goes in, what is to be written comes out.
class pipeline {
 public:
  pipeline(input_list const& inputs, preprocess_options const& options) : inputs_{inputs}, options_{options} {}

  // Enough items under way to keep every worker busy while the oldest one is slow; fewer where rows are huge.
  [[nodiscard]] std::size_t window() const {
    auto const workers = static_cast<std::size_t>(options_.workers);
    auto const side = static_cast<std::size_t>(options_.transform.crop);
    return std::clamp(results_ahead_bytes / (side * side * 3 * imaging::size_bytes(options_.dtype)), workers + 1,
                      workers * 4 + 4);
  }

  future<prepared> start(std::size_t index) {
    return decode_.scatter(read_.scatter(index), imaging::contact_sheet::shows(index));
  }

  [[nodiscard]] std::vector<stage_figures> figures() const {
    stage_stats const read = read_.stats();
    stage_stats const decode = decode_.stats();
    return {{"read", readers(), read.done, read.failed, read_time_.total()},
            {"decode", options_.workers, decode.done, decode.failed - read.failed, decode_time_.total()}};
  }

 private:
  [[nodiscard]] int readers() const { return std::clamp(options_.workers / 2, 2, 8); }

  file_bytes read(std::size_t index) {
    if (input_error const* const problem = inputs_.problem(index)) throw *problem;
    return read_file(inputs_.path(index), budget_);
  }

  input_list const& inputs_;
  preprocess_options const& options_;
  byte_budget budget_{read_ahead_bytes};
  body_time read_time_;
  body_time decode_time_;
  thread_stage<file_bytes(std::size_t)> read_{
      {.concurrency = readers(), .capacity = window(), .name = "read"},
      [this](std::size_t index) { return read_time_.measure([&] { return read(index); }); }};
  thread_stage<prepared(file_bytes, bool)> decode_{
      {.concurrency = options_.workers, .capacity = window(), .name = "decode"},
      [this](file_bytes file, bool with_tile) {
        return decode_time_.measure([&] { return prepare(file.bytes, with_tile, options_); });
      }};
};

item_failure describe(item_error const& error) {
  auto const failure = [&](std::string_view kind) {
    return item_failure{error.stage(), std::string{kind}, printable(error.what())};
  };
  try {
    std::rethrow_exception(error.cause());
  } catch (input_error const& cause) {
    return failure(to_string(cause.kind()));
  } catch (imaging::image_error const& cause) {
    return failure(to_string(cause.kind()));
  } catch (std::bad_alloc const&) {
    return failure("out_of_memory");
  } catch (...) {
    return failure("exception");
  }
}

// Writes one item's row or names its failure.
void write(std::string const& input, outcome<prepared> result, run_output& output) {
  if (result) {
    output.add(input, *std::move(result));
  } else {
    output.add_failed(input, describe(result.error()));
  }
}

// Pulls all inputs through the pipeline in order. Returns why it gave up, or nothing.
std::string run(input_list const& inputs, preprocess_options const& options, pipeline& stages, run_output& output,
                body_time& write_time) {
  progress shown{options.progress, inputs.size()};
  std::deque<future<prepared>> under_way;
  std::size_t next = 0;
  bool stopping = false;
  while (true) {
    if (!stopping && interrupt_guard::requested()) {
      stopping = true;
      shown.clear();
      write_stderr(fmt::format("penstock: interrupted: finishing {} under way; once more stops at once\n",
                               counted(under_way.size(), "item")));
    }
    while (!stopping && next != inputs.size() && under_way.size() != stages.window()) {
      under_way.push_back(stages.start(next++));
    }
    if (under_way.empty()) return {};
    tally const& items = output.items();
    shown.update(items.finished(), items.failed);
    auto result = std::move(under_way.front()).outcome();
    under_way.pop_front();
    write_time.measure([&] { write(inputs.path(items.finished()), std::move(result), output); });
    if (options.max_errors && items.failed > *options.max_errors) {
      return fmt::format("stopped: {} failed, --max-errors allows {}", counted(items.failed, "input"),
                         *options.max_errors);
    }
  }
}

// What went wrong, and what to do where that is known.
std::string explain(std::exception const& failure) {
  auto const* const error = dynamic_cast<std::system_error const*>(&failure);
  bool const is_full =
      error != nullptr && (error->code() == std::errc::no_space_on_device || error->code().value() == EDQUOT);
  return failure.what() + std::string{is_full ? " (free some room, or name a folder on another disk with --out)" : ""};
}

}  // namespace

run_report preprocess(preprocess_options const& options) {
  auto const start = clock::now();
  input_list const inputs{options.inputs};
  if (inputs.size() == 0) {
    throw std::runtime_error{fmt::format("no inputs: nothing to read in {}", fmt::join(options.inputs, ", "))};
  }
  interrupt_guard const signals;  // before here there is nothing to finish: a signal may end the program
  output_folder const folder{options.out};
  pipeline stages{inputs, options};
  run_output output{options};
  body_time write_time;

  run_report report;
  report.inputs = inputs.size();
  report.hidden = inputs.hidden();
  auto const complete = [&] {
    report.interrupted = interrupt_guard::requested() && output.items().finished() != inputs.size();
    report.stages = stages.figures();
    report.stages.push_back({"write", 1, output.items().written, 0, write_time.total()});
    report.elapsed = clock::now() - start;
  };
  try {
    report.error = run(inputs, options, stages, output, write_time);
    complete();
    output.finish(report);
  } catch (std::exception const& failure) {
    report.error = explain(failure);
    complete();
    output.salvage(report);
  }
  return report;
}

}  // namespace penstock::cli
