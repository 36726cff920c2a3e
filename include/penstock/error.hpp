// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock {

/// Why an item has no result.
enum class error_kind : std::uint8_t {
  exception,      ///< its body threw
  cancelled,      ///< it was not started: its stage was cancelled or destroyed
  dropped,        ///< its body chose to give no result
  upstream,       ///< an input failed in another stage; its body did not run
  timeout,        ///< it ran for too long
  worker_died,    ///< the process that ran it ended
  out_of_memory,  ///< a device or the host had no memory left
  device_fault,   ///< the device that ran it failed
  device_lost,    ///< no device was left to run it
  stage_closed,   ///< its stage took no more items
};

/// The enumerator's own name, e.g. "worker_died".
[[nodiscard]] std::string_view to_string(error_kind kind) noexcept;

namespace detail {

/// The record of one item's failure, shared by the item and by all that depend on it.
struct failure {
  failure(error_kind of, std::string text, std::shared_ptr<std::string const> in, std::size_t at, int tried,
          std::exception_ptr exception)
      : kind{of},
        what{std::move(text)},
        stage{std::move(in)},
        index{at},
        attempts{tried},
        thrown{std::move(exception)} {}

  error_kind kind;
  std::string what;
  std::shared_ptr<std::string const> stage;
  std::size_t index;
  int attempts;
  std::exception_ptr thrown;  // none where nothing was thrown: the item was cancelled or dropped
  mutable std::atomic<bool> observed{false};

  /// What stands for the failure as an exception; never null.
  [[nodiscard]] std::exception_ptr cause() const;
};
using failure_ptr = std::shared_ptr<failure const>;

/// The record of the exception that is being handled; for a handler. Never null: without memory it is a fixed record that
/// says so.
[[nodiscard]] failure_ptr describe_current_exception(std::shared_ptr<std::string const> const& stage, std::size_t index,
                                                     int attempts) noexcept;

}  // namespace detail

/// What went wrong with one item, and where it first went wrong. A cheap handle to shared, immutable data: copies may
/// be used on any thread.
class item_error {
 public:
  item_error(detail::failure_ptr origin, bool inherited) noexcept : origin_{std::move(origin)}, inherited_{inherited} {
    origin_->observed.store(true, std::memory_order_relaxed);
  }

  /// `upstream` where the failure came with an input; cancelled and dropped items stay `cancelled` and `dropped`.
  [[nodiscard]] error_kind kind() const noexcept {
    return inherited_ && origin_->kind != error_kind::cancelled && origin_->kind != error_kind::dropped
               ? error_kind::upstream
               : origin_->kind;
  }
  /// The text of what was thrown, without the place.
  [[nodiscard]] char const* what() const noexcept { return origin_->what.c_str(); }
  /// The stage in which it failed first, and the index it had there.
  [[nodiscard]] std::string const& stage() const noexcept { return *origin_->stage; }
  [[nodiscard]] std::size_t index() const noexcept { return origin_->index; }
  /// How often that body was tried.
  [[nodiscard]] int attempts() const noexcept { return origin_->attempts; }
  /// The original exception; a stage_error for an item that was cancelled or dropped. Never null.
  [[nodiscard]] std::exception_ptr cause() const { return origin_->cause(); }

 private:
  detail::failure_ptr origin_;
  bool inherited_;
};

namespace detail {

/// The error of an item that is in no stage.
[[nodiscard]] item_error error_of(std::exception_ptr thrown);

}  // namespace detail

/// The base of what penstock itself throws about a stage. what() reads "stage 'resize', item 17: ...".
class stage_error : public std::runtime_error {
 public:
  stage_error(error_kind kind, std::string stage, std::size_t index, std::string const& text,
              std::vector<item_error> failures = {});

  [[nodiscard]] error_kind kind() const noexcept { return details_->kind; }
  [[nodiscard]] std::string const& stage() const noexcept { return details_->stage; }
  [[nodiscard]] std::size_t index() const noexcept { return details_->index; }
  /// All failures that it speaks of, by index; lives as long as this object or a copy of it.
  [[nodiscard]] std::span<item_error const> failures() const noexcept { return details_->failures; }

 private:
  struct details {
    error_kind kind;
    std::string stage;
    std::size_t index;
    std::vector<item_error> failures;
  };
  std::shared_ptr<details const> details_;  // shared: copying an exception must not throw
};

/// The future's item has been gathered already: its result is elsewhere.
class already_gathered : public stage_error {
 public:
  using stage_error::stage_error;
};

/// A wait that could never end, such as a body that gathers its own stage.
class would_deadlock : public stage_error {
 public:
  using stage_error::stage_error;
};

/// Thrown by the scatter functions of a stage after close().
class stage_closed : public stage_error {
 public:
  using stage_error::stage_error;
};

/// What is called for the failure of an item that nobody asked about: no gather, outcome, future or exception has shown
/// it, neither for the item itself nor for one that depends on it. Cancelled and dropped items do not count.
using unobserved_error_handler = std::function<void(item_error const&)>;

/// Sets the handler of all stages and returns the one before; an empty one restores the default, which writes one line
/// to stderr for each (and stops after twenty). It is called on the thread that lets go of the item last, often one of
/// the engine's: it must not block, and what it throws is ignored. Thread-safe.
unobserved_error_handler on_unobserved_error(unobserved_error_handler handler);

}  // namespace penstock
