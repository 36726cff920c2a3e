// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"
#include "cli/options.hpp"
#include "cli/preprocess.hpp"
#include "cli/run_report.hpp"
#include "cli/text.hpp"

#include <penstock/error.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <variant>

namespace {

using namespace penstock::cli;

void complain(std::string const& text) { write_stderr("penstock: " + printable(text) + '\n'); }

// A reader that went away (`| head`) is no failure; a full disk is.
void print(std::string const& text) {
  std::size_t const done = std::fwrite(text.data(), 1, text.size(), stdout);
  if ((done != text.size() || std::fflush(stdout) != 0) && errno != EPIPE) {
    throw std::system_error{errno, std::generic_category(), "writing stdout"};
  }
}

exit_code run(preprocess_options const& options) {
  run_report const report = preprocess(options);
  if (!report.error.empty()) complain(report.error);
  if (report.saved) print(options.json ? to_json(report, options) : to_text(report, options));
  return report.code();
}

exit_code serve(int argc, char** argv) {
  if (argc < 2) {
    write_stderr(help());
    return exit_code::usage;
  }
  try {
    auto const request = parse_arguments(argc, argv);
    if (auto const* const options = std::get_if<preprocess_options>(&request)) return run(*options);
    print(std::get<answer>(request).text);
    return exit_code::all_written;
  } catch (usage_error const& error) {
    complain(error.what());
    return exit_code::usage;
  } catch (std::exception const& error) {
    complain(error.what());
    return exit_code::run_failed;
  }
}

// Started with stdin, stdout or stderr closed, the program would get that number for one of its files and then print
// into it.
void occupy_standard_descriptors() {
  int descriptor = ::open("/dev/null", O_RDWR);
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = ::open("/dev/null", O_RDWR);
  ::close(descriptor);
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  // A closed pipe shows as an error of the write, and the run's files are finished all the same.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of write(), told like a full disk
  // The program itself names every file that failed.
  penstock::on_unobserved_error([](penstock::item_error const&) {});
  return static_cast<int>(serve(argc, argv));
}
