// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/cell.hpp>
#include <penstock/detail/stage_core.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace penstock::detail {

/// Where an item of a pipeline is; embedded in its cell. Plain members belong to whoever has moved the item out of
/// `waiting` or `parked` last; phase changes hand them over.
struct passage {
  enum class phase : std::uint8_t {
    waiting,  // for inputs, or in the queue of `at`
    parked,   // its body in `at` has run, and the next stage has no room
    carried,  // a thread has it, or it waits for another attempt
    ended     // cancelled; whoever finds it in a queue lets it go
  };

  /// Takes the item out of `waiting` or `parked`; the phase that it was in, which is another one when somebody else has it.
  phase claim(phase to) noexcept {
    phase found = now.load(std::memory_order_seq_cst);
    while (rests(found) && !now.compare_exchange_weak(found, to, std::memory_order_seq_cst)) continue;
    return found;
  }
  [[nodiscard]] static bool rests(phase some) noexcept { return some == phase::waiting || some == phase::parked; }

  stage_core* at;                  // the stage among whose unfinished items it counts
  std::uint32_t cancellations;     // of that stage, when the item came
  std::uint16_t extra_blocks = 0;  // of 64 bytes, behind the cell
  std::uint8_t step = 0;           // the number of the body that runs or is to run
  std::atomic<phase> now{phase::waiting};
};

/// What a pipeline is to the engine: a core of its own, which numbers, gathers and counts its items but runs no body, and
/// the stages that they pass. Items are guests there: they take room and slots like a stage's own.
/// Thread-safe. Blocking: admit, the destructor.
class pipeline_core {
 public:
  static constexpr std::size_t most_stages = std::numeric_limits<std::uint8_t>::max();

  /// Throws std::bad_alloc, and std::invalid_argument for too many stages.
  explicit pipeline_core(std::vector<stage_core*> stages);
  pipeline_core(pipeline_core const&) = delete;
  pipeline_core& operator=(pipeline_core const&) = delete;
  /// Cancels what is in no body, waits for running bodies, drops what could still be gathered.
  ~pipeline_core();

  [[nodiscard]] stage_core& home() const noexcept { return *home_; }
  [[nodiscard]] std::vector<stage_core*> const& stages() const noexcept { return stages_; }
  [[nodiscard]] stage_core& first_stage() const noexcept { return *stages_.front(); }

  /// A place in the pipeline, and room in its first stage.
  struct admission {
    item_place at;
    std::uint32_t cancellations = 0;
  };
  /// As those of stage_core; what they say of room is meant of the first stage.
  [[nodiscard]] admission admit(ready_cells* batch = nullptr, std::size_t bytes = 0);
  [[nodiscard]] std::optional<admission> try_admit(std::size_t bytes = 0);
  void dismiss(admission const& unused) noexcept;
  [[nodiscard]] admission recharge(admission const& taken, std::size_t bytes) const noexcept;
  /// How many items the stages have room for, together.
  [[nodiscard]] std::size_t capacity() const noexcept;

  /// Runs a new item whose inputs are finished, here and now, as far as stages run inline.
  void run_inline(cell& runnable) const noexcept;
  /// A gather is over: it and its stages can be used again if they were cancelled.
  void reopen() noexcept;

 private:
  friend class stage_state;

  void join_engine();
  [[nodiscard]] admission take_place(std::uint32_t cancellations, std::size_t bytes);
  [[noreturn]] void throw_refused() const;

  std::vector<stage_core*> stages_;
  stage_core* home_ = nullptr;
  std::atomic<bool> joined_{false};
};

}  // namespace penstock::detail
