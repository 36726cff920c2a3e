// SPDX-License-Identifier: Apache-2.0
#include "bench/support/machine.hpp"

#include <penstock/usable_processors.hpp>
#include <penstock/version.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tbb/version.h>

#include <stdlib.h>
#include <sys/utsname.h>

#include <fstream>
#include <string>

namespace support {
namespace {

std::string processor() {
  std::ifstream file{"/proc/cpuinfo"};
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    auto const colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string kernel() {
  utsname names{};
  return uname(&names) == 0 ? fmt::format("{} {}", names.sysname, names.release) : "unknown";
}

std::string compiler() {
#ifdef __clang__
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

nlohmann::json describe_machine() {
  double load = -1;
  getloadavg(&load, 1);
  return {{"processor", processor()}, {"cores", penstock::usable_processors()}, {"kernel", kernel()},
          {"compiler", compiler()},   {"onetbb", TBB_runtime_version()},        {"penstock", PENSTOCK_VERSION_STRING},
          {"load_average", load}};
}

}  // namespace support
