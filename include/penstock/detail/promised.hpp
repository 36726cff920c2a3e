// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/block_pool.hpp>
#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/future.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace penstock::detail {

/// The engine's own stage for results that are made elsewhere. It has no bound and no end.
/// Thread-safe; does not block. Throws std::bad_alloc.
[[nodiscard]] stage_core& promise_stage();

/// A result that is made outside of all stages: for a future whose item somebody else promises to finish.
///
/// Whoever made it must call fulfil() once, on any thread: without it, what depends on the future never ends. Only after
/// that may the cell end, so its maker needs no handle.
template <class T>
class promised final : public result_cell<T> {
  static_assert(std::is_nothrow_move_constructible_v<T>);

 public:
  /// Throws std::bad_alloc, and what making the engine throws.
  [[nodiscard]] static promised& create() {
    stage_core& stage = promise_stage();
    item_place const at = stage.admit();
    void* block = nullptr;
    try {
      block = acquire_block(sizeof(promised), alignof(promised));
    } catch (...) {
      stage.dismiss(at);
      throw;
    }
    auto* const created = ::new (block) promised{stage, at};
    stage_core::publish(*created);
    (void)stage_core::claim(*created);  // nobody gathers it
    return *created;
  }

  /// Its future; once.
  [[nodiscard]] future<T> get_future() noexcept { return future<T>{*this}; }

  /// The result is there. Does not block, and runs nothing of those who wait.
  void fulfil(T result) noexcept {
    this->value_.emplace(std::move(result));
    stage_core::ready(*this);
  }

 private:
  promised(stage_core& stage, item_place const& at) noexcept : result_cell<T>{stage, at} {}
  ~promised() = default;

  bool run(failure_ptr /*its stage is never cancelled*/) noexcept override { return true; }
  void release_arguments() noexcept override {}
  void dispose() noexcept override {
    this->~promised();
    release_block(this, sizeof(promised), alignof(promised));
  }
};

}  // namespace penstock::detail
