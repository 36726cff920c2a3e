// SPDX-License-Identifier: Apache-2.0
#include "engine/flow/failure.hpp"

#include "engine/flow/sanitizers.hpp"

#include <cxxabi.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <typeinfo>
#include <utility>

namespace penstock {
namespace {

// The handler, which must be there while static stages are destroyed.
struct unobserved_errors {
  std::mutex mutex;
  std::shared_ptr<unobserved_error_handler const> handler;  // guarded by mutex; null for the default

  static unobserved_errors& instance() {
    static unobserved_errors& forever = *new unobserved_errors;
    return forever;
  }
};

void print_unobserved(item_error const& error) noexcept {
  constexpr int most = 20;
  static std::atomic<int> printed{0};
  int const number = printed.load(std::memory_order_relaxed) < most ? printed.fetch_add(1) : most;
  if (number >= most) return;
  std::fprintf(stderr, "penstock: an item failed and nobody asked for it: stage '%s', item %zu: %s%s\n",
               error.stage().c_str(), error.index(), error.what(),
               number == most - 1 ? " (no more such lines: see penstock::on_unobserved_error)" : "");
}

}  // namespace

unobserved_error_handler on_unobserved_error(unobserved_error_handler handler) {
  auto& errors = unobserved_errors::instance();
  auto made = handler ? std::make_shared<unobserved_error_handler const>(std::move(handler)) : nullptr;
  {
    std::lock_guard const lock{errors.mutex};
    errors.handler.swap(made);
  }
  return made != nullptr ? *made : unobserved_error_handler{};
}

namespace detail {
namespace {

// Tells ThreadSanitizer that whoever drops the last reference to an exception does so after all others: libstdc++ counts
// these references inside its own library, unseen.
void see_exception_references() noexcept {
  [[maybe_unused]] static char tag = 0;
  tsan_release(&tag);
  tsan_acquire(&tag);
}

void report_unobserved(failure const& lost) noexcept {
  try {
    auto const shown =
        std::make_shared<failure const>(lost.kind, lost.what, lost.stage, lost.index, lost.attempts, lost.thrown);
    item_error const error{shown, false};
    auto& errors = unobserved_errors::instance();
    std::shared_ptr<unobserved_error_handler const> handler;
    {
      std::lock_guard const lock{errors.mutex};
      handler = errors.handler;
    }
    if (handler != nullptr) (*handler)(error);
    else print_unobserved(error);
  } catch (...) {  // no memory, or the handler's own trouble
  }
}

struct recorded_failure : failure {
  using failure::failure;
  recorded_failure(recorded_failure const&) = delete;
  recorded_failure& operator=(recorded_failure const&) = delete;
  ~recorded_failure() {
    bool const counts = kind != error_kind::cancelled && kind != error_kind::dropped;
    if (counts && !observed.load(std::memory_order_relaxed)) report_unobserved(*this);
    see_exception_references();
  }
};

std::string name_of(std::type_info const& type) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> const name{abi::__cxa_demangle(type.name(), nullptr, nullptr, &status),
                                                         &std::free};
  return status == 0 ? name.get() : type.name();
}

std::string text_of_current_exception();

// What it says, or its type's name; with what is nested in it, as std::throw_with_nested() leaves it.
std::string text_of(std::exception const& thrown) {
  char const* const says = thrown.what();
  std::string text =
      says != nullptr && *says != '\0' ? says : "something without a text was thrown: " + name_of(typeid(thrown));
  auto const* const nest = dynamic_cast<std::nested_exception const*>(&thrown);
  if (nest == nullptr || nest->nested_ptr() == nullptr) return text;  // rethrow_nested() would end the program
  try {
    nest->rethrow_nested();
  } catch (...) {
    return text + ": " + text_of_current_exception();
  }
}

std::string text_of_current_exception() {
  try {
    throw;
  } catch (std::exception const& thrown) {
    return text_of(thrown);
  } catch (std::string const& thrown) {
    return "something of type std::string was thrown: " + thrown;
  } catch (...) {
    std::type_info const* const type = abi::__cxa_current_exception_type();
    return type == nullptr ? "something unknown was thrown" : "something of type " + name_of(*type) + " was thrown";
  }
}

}  // namespace

std::exception_ptr failure::cause() const {
  if (thrown != nullptr) return thrown;
  return std::make_exception_ptr(stage_error{kind, *stage, index, what});
}

failure_ptr const& failure_without_memory() {
  static failure_ptr const& forever = *new failure_ptr{std::make_shared<failure const>(
      error_kind::exception, "no memory was left to describe the failure",
      std::make_shared<std::string const>("unknown"), 0, 1, std::make_exception_ptr(std::bad_alloc{}))};
  return forever;
}

failure_ptr describe_current_exception(std::shared_ptr<std::string const> const& stage, std::size_t index,
                                       int attempts) noexcept {
  failure_ptr described;
  try {
    described = std::make_shared<recorded_failure const>(error_kind::exception, text_of_current_exception(), stage,
                                                         index, attempts, std::current_exception());
  } catch (...) {
    described = failure_without_memory();
  }
  see_exception_references();
  return described;
}

item_error error_of(std::exception_ptr thrown) {
  try {
    if (thrown == nullptr) throw std::invalid_argument{"an outcome was made from a null std::exception_ptr"};
    std::rethrow_exception(std::move(thrown));
  } catch (...) {
    return {describe_current_exception(std::make_shared<std::string const>("no stage yet"), 0, 1), false};
  }
}

failure_ptr describe(error_kind kind, std::shared_ptr<std::string const> const& stage, std::size_t index,
                     char const* why) noexcept {
  try {
    return std::make_shared<recorded_failure const>(kind, why, stage, index, 1, nullptr);
  } catch (...) {
    return failure_without_memory();
  }
}

}  // namespace detail
}  // namespace penstock
