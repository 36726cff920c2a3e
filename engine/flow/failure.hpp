// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/error.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace penstock::detail {

/// The record of an item for which nothing was thrown. `why` is what error().what() says.
[[nodiscard]] failure_ptr describe(error_kind kind, std::shared_ptr<std::string const> const& stage, std::size_t index,
                                   char const* why) noexcept;
/// Makes what the functions that describe failures fall back on, while there is memory.
void prepare_for_no_memory();

}  // namespace penstock::detail
