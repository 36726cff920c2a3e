// SPDX-License-Identifier: Apache-2.0
#include <penstock/error.hpp>

#include <array>

namespace penstock {

std::string_view to_string(error_kind kind) noexcept {
  static constexpr std::array<std::string_view, 10> names{"exception",   "cancelled",   "dropped",       "upstream",
                                                          "timeout",     "worker_died", "out_of_memory", "device_fault",
                                                          "device_lost", "stage_closed"};
  auto const position = static_cast<std::size_t>(kind);
  return position < names.size() ? names[position] : "unknown";
}

stage_error::stage_error(error_kind kind, std::string stage, std::size_t index, std::string const& text,
                         std::vector<item_error> failures)
    : std::runtime_error{"stage '" + stage + "', item " + std::to_string(index) + ": " + text},
      details_{std::make_shared<details const>(details{kind, std::move(stage), index, std::move(failures)})} {}

}  // namespace penstock
