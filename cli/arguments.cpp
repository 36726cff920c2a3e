// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <penstock/usable_processors.hpp>
#include <penstock/version.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock::cli {

namespace {

constexpr int max_side = 4096;
constexpr char const* hint = "; `penstock preprocess --help` lists what there is";

// CLI11's formatter, but for what differs between its versions or would be wrapped by the newer ones.
class preprocess_help : public CLI::Formatter {
 public:
  preprocess_help() { column_width(26); }
  std::string make_usage(CLI::App const*, std::string name) const override {
    return "Usage: " + name + R"( INPUT... --out DIR [OPTIONS]

INPUT is a file, a folder (everything below it but hidden entries), or @FILE with one path a line.
)";
  }
  std::string make_footer(CLI::App const*) const override {
    return R"(
Examples:
  penstock preprocess photos/ --out tensors
  penstock preprocess a.jpg b.png @more.txt --out tensors --dtype u8
  find . -name '*.jpg' > list.txt && penstock preprocess @list.txt --out tensors --workers 8

Results in --out: shard-000000.npy ... (rows of 3 x crop x crop), manifest.jsonl (one line an
input), run.json (figures), contact.png (a sheet to look at).

Exit codes: 0 all written; 3 some items failed, each named in manifest.jsonl; 1 the run failed;
            2 the command line was not understood; 130 interrupted, what was finished is written.
)";
  }
};

[[noreturn]] void reject(std::string const& flag, std::string_view value, std::string const& allowed) {
  throw usage_error{fmt::format("{}: '{}' is not allowed: give {}", flag, value, allowed)};
}

template <class Number>
Number parse_number(std::string const& flag, std::string_view text, Number lowest, Number highest) {
  Number value{};
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // Written so that a NaN is refused too.
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= lowest && value <= highest)) {
    reject(flag, text,
           fmt::format("a {} from {} to {}", std::is_integral_v<Number> ? "whole number" : "number", lowest, highest));
  }
  return value;
}

std::array<float, 3> parse_channels(std::string const& flag, std::string const& text, float lowest, float highest) {
  constexpr std::string_view comma = ",";
  std::string const allowed = fmt::format("three numbers r,g,b from {} to {}", lowest, highest);
  auto const parts = std::ranges::count(text, ',') + 1;
  if (parts != 3) reject(flag, text, allowed);
  std::array<float, 3> values{};
  std::string_view rest = text;
  for (float& value : values) {
    std::string_view const part = rest.substr(0, rest.find(comma));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    auto const [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || !(value >= lowest && value <= highest)) {
      reject(flag, text, allowed);
    }
  }
  return values;
}

template <class Value>
void add_choice(CLI::App& command, std::string const& flag, Value& target,
                std::vector<std::pair<std::string, Value>> choices, std::string const& help_text) {
  std::string names;
  for (auto const& [name, value] : choices) names += (names.empty() ? "" : "|") + name;
  auto const take = [flag, &target, choices = std::move(choices), names](std::string const& text) {
    auto const found = std::ranges::find(choices, text, [](auto const& choice) { return choice.first; });
    if (found == choices.end()) reject(flag, text, names);
    target = found->second;
  };
  command.add_option_function<std::string>(flag, take, help_text)->type_name(names);
}

// Takes a flag's text to `take`, and shows `type` and the default in the help.
void add_value(CLI::App& command, std::string const& flag, std::function<void(std::string const&)> const& take,
               std::string const& type, std::string const& help_text) {
  command.add_option_function<std::string>(flag, take, help_text)->type_name(type);
}

template <class Number>
void add_number(CLI::App& command, std::string const& flag, Number& target, Number lowest, Number highest,
                std::string const& help_text) {
  add_value(
      command, flag,
      [=, &target](std::string const& text) { target = parse_number<Number>(flag, text, lowest, highest); }, "N",
      fmt::format("{} [{}]", help_text, target));
}

void add_channels(CLI::App& command, std::string const& flag, std::array<float, 3>& target, float lowest, float highest,
                  std::string const& help_text) {
  add_value(
      command, flag, [=, &target](std::string const& text) { target = parse_channels(flag, text, lowest, highest); },
      "R,G,B", fmt::format("{} [{}]", help_text, fmt::join(target, ",")));
}

void add_preprocess(CLI::App& app, preprocess_options& options) {
  CLI::App& command = *app.add_subcommand("preprocess", "Photos in, arrays for training out");
  command.formatter(std::make_shared<preprocess_help>());
  // The inputs are what no flag takes: declared as a positional option, CLI11 would read the name [a,b] as a list.
  command.allow_extras();
  add_value(
      command, "--out", [&options](std::string const& text) { options.out = text; }, "DIR",
      "Folder for the results: new, or without results of another run");
  add_number(command, "--resize", options.transform.resize, 1, max_side,
             "Length of the short side after resizing, pixels");
  add_number(command, "--crop", options.transform.crop, 1, max_side, "Side of the square cut from the centre, pixels");
  add_choice<imaging::element_type>(command, "--dtype", options.dtype,
                                    {{"f32", imaging::element_type::f32}, {"u8", imaging::element_type::u8}},
                                    "Element type: f32 normalised, u8 as decoded [f32]");
  add_channels(command, "--mean", options.statistics.mean, -1000, 1000,
               "Subtracted from each channel, values being 0..1 (f32)");
  add_channels(command, "--std", options.statistics.std, 1e-6F, 1000, "Then each channel is divided by this (f32)");
  command.add_flag_callback(
      "--no-exif", [&options] { options.transform.exif = false; },
      "Do not turn pictures upright by their EXIF orientation");
  add_number(command, "--workers", options.workers, 1, 1024, "Pictures decoded at once");
  add_number<std::size_t>(command, "--shard-size", options.shard_size, 1, 1'000'000'000, "Rows of an array file");
  add_number<std::uint64_t>(command, "--max-pixels", options.transform.max_pixels, 1,
                            std::numeric_limits<std::uint32_t>::max(), "Refuse larger pictures, pixels");
  auto const take_max_errors = [&options](std::string const& text) {
    options.max_errors = parse_number<std::size_t>("--max-errors", text, 0, 1'000'000'000);
  };
  add_value(command, "--max-errors", take_max_errors, "N", "End the run when more than N items failed [no limit]");
  add_choice<progress_mode>(
      command, "--progress", options.progress,
      {{"auto", progress_mode::automatic}, {"always", progress_mode::always}, {"never", progress_mode::never}},
      "Show how far the run is, on stderr [auto]");
  command.add_flag("--json", options.json, "Print run.json on stdout in place of the summary");
}

void require_consistent(preprocess_options const& options) {
  if (options.inputs.empty()) throw usage_error{"INPUT is missing: give files, folders or @FILE"};
  if (options.out.empty()) throw usage_error{"--out is missing: give the folder for the results"};
  auto const crop = options.transform.crop;
  auto const resize = options.transform.resize;
  if (crop > resize) reject("--crop", std::to_string(crop), fmt::format("at most {}, the value of --resize", resize));
}

struct interface {
  preprocess_options options;
  CLI::App app{"penstock: pipelines whose stages are threads, for pictures and arrays", "penstock"};

  interface() {
    options.workers = usable_processors();
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", "penstock " PENSTOCK_VERSION_STRING, "Print the version and exit");
    app.footer("`penstock COMMAND --help` tells more.");
    app.get_formatter()->column_width(26);
    add_preprocess(app, options);
  }
};

}  // namespace

std::variant<preprocess_options, answer> parse_arguments(int argc, char const* const* argv) {
  interface self;
  std::vector<std::string> const words{argv, argv + argc};
  auto const dashes = std::ranges::find(words, "--");              // after it everything is an input
  for (std::string_view const flag : {"--json=", "--no-exif="}) {  // CLI11 would take any value for yes or no
    auto const given = std::find_if(words.begin(), dashes, [flag](auto const& word) { return word.starts_with(flag); });
    if (given != dashes) reject(std::string{flag.substr(0, flag.size() - 1)}, given->substr(flag.size()), "no value");
  }
  try {
    self.app.parse(static_cast<int>(dashes - words.begin()), argv);
  } catch (CLI::CallForHelp const&) {
    return answer{self.app.help()};
  } catch (CLI::CallForVersion const& version) {
    return answer{std::string{version.what()} + '\n'};
  } catch (CLI::ExtrasError const&) {
    std::string const first = self.app.remaining().front();
    bool const is_command = words.size() > 1 && first == words[1] && !first.starts_with('-');
    throw usage_error{fmt::format("unknown {} '{}'{}", is_command ? "command" : "argument", first, hint)};
  } catch (CLI::ParseError const& error) {
    throw usage_error{error.what() + std::string{hint}};
  }
  auto const commands = self.app.get_subcommands();
  if (commands.empty()) throw usage_error{fmt::format("a command is missing{}", hint)};
  self.options.inputs = commands.front()->remaining();
  auto const flag = std::ranges::find_if(self.options.inputs, [](auto const& word) { return word.starts_with('-'); });
  if (flag != self.options.inputs.end()) throw usage_error{fmt::format("unknown flag '{}'{}", *flag, hint)};
  if (dashes != words.end()) self.options.inputs.insert(self.options.inputs.end(), dashes + 1, words.end());
  require_consistent(self.options);
  return self.options;
}

std::string help() { return interface{}.app.help(); }

}  // namespace penstock::cli
