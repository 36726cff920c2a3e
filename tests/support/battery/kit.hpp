// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <penstock/future.hpp>
#include <penstock/thread_stage.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <exception>
#include <numeric>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

namespace penstock::test {

/// What the battery has to know of one kind of stages. A kit is a type like this one, the kit of thread stages.
struct thread_kit {
  /// Whether bodies see the memory of the test: then they may capture references to it.
  static constexpr bool shares_memory = true;
  /// Whether what a body throws arrives as the object that was thrown; else as an exception with its text.
  static constexpr bool keeps_exceptions = true;
  /// Whether std::unique_ptr<int> may be an argument and a result.
  static constexpr bool carries_move_only = true;
  /// Whether `.concurrency = 0` runs bodies in scatter.
  static constexpr bool runs_inline = true;
  /// How many bodies of one stage may run at once, and how many stages a program may have, for the tests of many.
  static constexpr int many_bodies = 600;
  static constexpr int many_stages = 100;

  /// A stage of this kind. The body is a lambda of values; where memory is not shared, without captures, or with captures
  /// that can be copied byte by byte. The battery sets .concurrency, .capacity, .name, .unpack, .attempts, .backoff,
  /// .max_errors and .discard_results; a kit of a kind with other options translates them.
  template <class Body>
  [[nodiscard]] static auto make(stage_options const& options, Body body) {
    return thread_stage{options, std::move(body)};
  }
};

/// Futures that become ready when the test says so, to hold calls of any kind of stage up before their bodies start.
class gate {
 public:
  gate() = default;
  gate(gate const&) = delete;
  gate& operator=(gate const&) = delete;
  ~gate() { open(); }

  /// The future of `value`.
  [[nodiscard]] future<int> hold(int value) { return held_.scatter(value); }
  /// Lets the next `count` values through, in the order in which they came; they may be yet to come.
  void pass(int count) { passes_.release(count); }
  /// Lets all through.
  void open() { passes_.release(1'000'000); }

 private:
  std::counting_semaphore<> passes_{0};
  thread_stage<int(int)> held_{1, [this](int x) {
                                 passes_.acquire();
                                 return x;
                               }};
};

/// The numbers from 0 on.
[[nodiscard]] inline std::vector<int> iota(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

/// Expects that the call throws what a body has thrown: an Exception with that text.
template <class Kit, class Exception, class Call>
void expect_original(Call&& call, std::string const& text) {
  try {
    (void)std::forward<Call>(call)();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (std::exception const& thrown) {
    if constexpr (Kit::keeps_exceptions) {
      EXPECT_NE(dynamic_cast<Exception const*>(&thrown), nullptr) << "not the original: " << thrown.what();
      EXPECT_EQ(thrown.what(), text);
    } else {
      EXPECT_THAT(thrown.what(), testing::HasSubstr(text));
    }
  }
}

}  // namespace penstock::test
