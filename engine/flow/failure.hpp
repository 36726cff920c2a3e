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
/// What is left to say when there is no memory to say it: the functions that describe failures fall back on it. Made by
/// the first call, which throws std::bad_alloc.
[[nodiscard]] failure_ptr const& failure_without_memory();

}  // namespace penstock::detail
