// SPDX-License-Identifier: Apache-2.0
// A chain without any library: one thread a stage, and queues between them.
#include "bench/overhead/measurement.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>

namespace overhead {
namespace {

class bounded_queue {
 public:
  explicit bounded_queue(std::size_t capacity) : capacity_{capacity} {}

  void push(int value) {
    {
      std::unique_lock lock{mutex_};
      not_full_.wait(lock, [&] { return values_.size() < capacity_; });
      values_.push_back(value);
    }
    not_empty_.notify_one();
  }

  int pop() {
    int value = 0;
    {
      std::unique_lock lock{mutex_};
      not_empty_.wait(lock, [&] { return !values_.empty(); });
      value = values_.front();
      values_.pop_front();
    }
    not_full_.notify_one();
    return value;
  }

 private:
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  std::deque<int> values_;  // guarded by mutex_
};

void thread_a_stage(conditions const& asked, ordered_results& results) {
  std::deque<bounded_queue> queues;
  for (std::size_t i = 0; i <= asked.stages; ++i) queues.emplace_back(window / (asked.stages + 1));
  std::deque<std::jthread> threads;
  for (std::size_t i = 0; i < asked.stages; ++i) {
    threads.emplace_back([&asked, &in = queues[i], &out = queues[i + 1]] {
      for (int n = 0; n < asked.items; ++n) out.push(asked.body(in.pop()));
    });
  }
  threads.emplace_back([&] {
    for (int n = 0; n < asked.items; ++n) results.take(queues.back().pop());
  });
  for (int i = 0; i < asked.items; ++i) queues.front().push(i);
}

}  // namespace

std::vector<candidate> thread_chains() { return {{"thread a stage, mutex + condvar", per_item<thread_a_stage>}}; }

}  // namespace overhead
