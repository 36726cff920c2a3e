// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/detail/continuation.hpp>
#include <penstock/detail/copyable.hpp>
#include <penstock/detail/stage_core.hpp>
#include <penstock/detail/time.hpp>
#include <penstock/outcome.hpp>

#include <chrono>
#include <coroutine>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace penstock {

template <class T>
class future;

namespace detail {
template <class T>
cell_handle<result_cell<T>> cell_of(future<T> const& lent);
template <class T>
cell_handle<result_cell<T>> cell_of(future<T>&& given);
template <class Future>
class future_awaiter;
template <class T>
class promised;
template <class Front, class... P>
class scattering;
}  // namespace detail

/// The result of one scattered call, there when its body has run: an argument for other stages, or something to wait for.
///
/// Copyable iff T is; copies refer to the same result. It outlives its stage. One object is for one thread at a time;
/// copies may be used on different threads. A default-constructed or moved-from future is not valid(): using it throws
/// std::logic_error.
template <class T>
class future {
 public:
  using value_type = T;

  future() = default;
  future(future&&) noexcept = default;
  future(future const&)
    requires(detail::copyable<T>::value)
  = default;
  future& operator=(future&&) noexcept = default;
  future& operator=(future const&)
    requires(detail::copyable<T>::value)
  = default;
  ~future() = default;

  [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(cell_); }
  /// Whether a result or an error is there.
  [[nodiscard]] bool ready() const { return checked().done(); }
  /// Blocks until it is. An item that could be in a batch of more waits for others only while a body is at work.
  void wait() const { checked().wait(); }
  /// Blocks until it is, or `timeout` has passed: whether it is.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
    return checked().wait_until(detail::deadline_after(timeout));
  }

  /// Waits; the result, which stays where it is. Rethrows the original exception of the item that failed first;
  /// throws already_gathered when T cannot be copied and gather has moved it away.
  auto get() const& -> std::add_lvalue_reference_t<T const> {
    detail::result_cell<T>& finished = checked();
    finished.wait();
    if (finished.failed()) std::rethrow_exception(finished.error().cause());
    if constexpr (!detail::copyable<T>::value) {
      if (finished.was_gathered()) detail::stage_core::throw_already_gathered(finished);
    }
    if constexpr (!std::is_void_v<T>) return finished.value();
  }

  /// Waits and takes the result: out of its stage's gather, and moved where no copy of this future is left.
  /// Rethrows and throws as above. Leaves this future not valid.
  auto get() && -> T {
    auto const handle = take_finished();
    if (handle->failed()) std::rethrow_exception(handle->error().cause());
    if constexpr (!std::is_void_v<T>) return handle->take();
  }

  /// Waits and takes the result or the error, as get() && does, without throwing for the item.
  [[nodiscard]] auto outcome() && -> penstock::outcome<T> {
    auto const handle = take_finished();
    if (handle->failed()) return {handle->index(), handle->error()};
    return {handle->index(), handle->take()};
  }

  /// In a coroutine, `co_await f` is f.get() and `co_await std::move(f)` is std::move(f).get(), but suspend the coroutine
  /// where these block, until there is a result or an error; a moved future's item leaves its stage's gather at once.
  ///
  /// The coroutine goes on as a body does, on an engine's thread, on top of no other body: it may block, and holds nothing
  /// up. If the item is finished already, it goes on at once, where it is. While it is suspended it must not be destroyed,
  /// nor f, nor may f be moved; every item ends, at the latest with its stage. An exception that leaves the coroutine
  /// through its promise's unhandled_exception() ends the program.
  /// Throws as get() does; std::logic_error, already_gathered and std::bad_alloc come before it is suspended.
  [[nodiscard]] auto operator co_await() const& { return detail::future_awaiter<future const&>{*this, checked()}; }
  [[nodiscard]] auto operator co_await() && {
    detail::result_cell<T>& awaited = checked();
    claim(awaited);
    return detail::future_awaiter<future>{std::move(*this), awaited};
  }

 private:
  template <class Front, class... P>
  friend class detail::scattering;
  friend class detail::promised<T>;
  friend detail::cell_handle<detail::result_cell<T>> detail::cell_of<T>(future<T> const&);
  friend detail::cell_handle<detail::result_cell<T>> detail::cell_of<T>(future<T>&&);

  explicit future(detail::result_cell<T>& owned) noexcept : cell_{owned} {}

  [[nodiscard]] detail::result_cell<T>& checked() const {
    if (!cell_) throw std::logic_error{"future: it has no item (default-constructed, moved from, or taken already)"};
    return *cell_;
  }
  // Waits, and takes the item out of its stage's gather and out of this future.
  [[nodiscard]] detail::cell_handle<detail::result_cell<T>> take_finished() {
    detail::result_cell<T>& finished = checked();
    finished.wait();
    claim(finished);
    return std::move(cell_);
  }
  // Takes an item out of its stage's gather.
  static void claim(detail::result_cell<T>& item) {
    if (detail::stage_core::claim(item) == detail::claim_result::gathered && !detail::copyable<T>::value) {
      detail::stage_core::throw_already_gathered(item);
    }
  }

  detail::cell_handle<detail::result_cell<T>> cell_;
};

namespace detail {

template <class T>
cell_handle<result_cell<T>> cell_of(future<T> const& lent) {
  static_assert(copyable<T>::value,
                "this future's result cannot be copied, so the future cannot be shared: scatter(std::move(it))");
  (void)lent.checked();
  return lent.cell_;
}
template <class T>
cell_handle<result_cell<T>> cell_of(future<T>&& given) {
  (void)given.checked();
  return std::move(given.cell_);
}

/// What co_await does with a future; Future is its type, or a reference to it.
template <class Future>
class future_awaiter {
 public:
  future_awaiter(Future&& awaited, cell& item) noexcept : future_{std::forward<Future>(awaited)}, item_{&item} {}

  [[nodiscard]] bool await_ready() const noexcept { return item_->done(); }
  // The coroutine may run, and end, before attach() has returned; nothing of this object is used after that.
  void await_suspend(std::coroutine_handle<> suspended) {
    auto resume = [suspended]() noexcept { suspended.resume(); };
    continuation<decltype(resume)>::attach(*item_, resume);
  }
  decltype(auto) await_resume() { return std::forward<Future>(future_).get(); }

 private:
  Future future_;
  cell* item_;
};

}  // namespace detail
}  // namespace penstock
