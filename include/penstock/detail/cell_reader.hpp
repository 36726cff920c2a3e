// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace penstock::detail {

/// Takes items that have ended out of a stage's gather one after the other, while others scatter: in scatter order, or as they
/// finish. As long as there is one, results that nobody has taken count against the stage's capacity.
///
/// For one thread. Must not outlive the stage. What it has not given out when it goes can still be gathered.
class cell_reader {
 public:
  /// Throws would_deadlock where a gather would.
  cell_reader(stage_core& stage, bool in_order);
  cell_reader(cell_reader const&) = delete;
  cell_reader& operator=(cell_reader const&) = delete;
  ~cell_reader();

  struct item {
    cell* in;
    std::uint32_t at;  // of a bundle
  };
  /// The next item that has ended; it must be given to pass(). Blocks; none when the stage takes no more items in (it was
  /// closed or cancelled) and all have been read.
  [[nodiscard]] item next() noexcept;
  void pass(item const& read) noexcept;
  /// Its number among the items that there were when the reader came, and all since.
  [[nodiscard]] std::size_t index(item const& read) const noexcept;

 private:
  static constexpr std::size_t most = 64;

  [[nodiscard]] item next_in_bundle() noexcept;
  [[nodiscard]] bool take_more() noexcept;
  void open(bundle& taken) noexcept;
  void pass_bundle(bundle& read) noexcept;

  stage_core* stage_;
  bool in_order_;
  std::uint64_t first_;  // of the items that are counted, among all that there have ever been
  std::array<cell*, most> taken_{};
  std::size_t next_ = 0;
  std::size_t end_ = 0;
  bundle* first_open_ = nullptr;  // bundles whose items are given out, oldest first, through their next_read
};

}  // namespace penstock::detail
