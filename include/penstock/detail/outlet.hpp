// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/detail/signature.hpp>

#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::detail {

/// Where the result of a body is to be made: in memory for the next body, or in a std::optional for the last one.
struct outlet {
  void* to;
  bool is_optional;
};

/// Calls a body that returns R and puts its result into `out`; false when the body drops the item.
template <class R, class Call>
bool produce(outlet out, Call const& call) {
  using stored = typename result_cell<typename result_of<R>::type>::stored;
  auto const place = [out](auto&& make) {
    if (out.is_optional) static_cast<std::optional<stored>*>(out.to)->emplace(make());
    else ::new (out.to) stored(make());
  };
  if constexpr (std::is_void_v<R>) {
    call();
    place([] { return std::monostate{}; });
  } else if constexpr (result_of<R>::may_drop) {
    auto returned = call();
    if (!returned) return false;
    place([&]() -> decltype(auto) { return *std::move(returned); });
  } else {
    place(call);
  }
  return true;
}

}  // namespace penstock::detail
