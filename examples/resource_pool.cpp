// SPDX-License-Identifier: Apache-2.0
// Twelve jobs share three GPUs, simulated here, none of which may serve two jobs at once. The stage runs eight jobs at
// a time; each borrows a GPU for as long as it needs one, and gives it back also when it throws.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <latch>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

// Lends out objects that it does not own, each to one borrower at a time. Thread-safe; borrow() waits for one.
template <class T>
class resource_pool {
  struct give_back {
    resource_pool* pool;
    void operator()(T* resource) const noexcept {
      {
        std::lock_guard const lock{pool->mutex_};
        pool->free_.push_back(resource);  // there is room: it held all of them once
      }
      pool->available_.release();
    }
  };

 public:
  using loan = std::unique_ptr<T, give_back>;  // "deleting" it gives the resource back

  explicit resource_pool(std::vector<T>& resources) : available_{static_cast<std::ptrdiff_t>(resources.size())} {
    for (T& each : resources) free_.push_back(&each);
  }

  [[nodiscard]] loan borrow() {
    available_.acquire();  // from here on there is one for us
    std::lock_guard const lock{mutex_};
    loan one{free_.back(), {this}};
    free_.pop_back();
    return one;
  }

 private:
  std::counting_semaphore<> available_;
  std::mutex mutex_;
  std::vector<T*> free_;  // guarded by mutex_
};

struct gpu {
  static inline std::atomic<int> clashes{0};
  std::atomic<int> users{0};
  int jobs = 0;  // needs no lock: whoever has borrowed the GPU is alone with it

  int square(int number, std::latch& all_busy) {
    if (users++ > 0) ++clashes;
    if (jobs++ == 0) all_busy.arrive_and_wait();  // its first job goes on when the other GPUs have one too
    std::this_thread::sleep_for(5ms);
    --users;
    if (number == 7) throw std::runtime_error{"the GPU refuses a 7"};
    return number * number;
  }
};

}  // namespace

int main() {
  std::vector<gpu> gpus(3);
  std::latch all_busy{3};
  resource_pool pool{gpus};

  penstock::thread_stage process{{.concurrency = 8, .name = "process"}, [&](int number) {
                                   int const squared = pool.borrow()->square(number, all_busy);  // a loan for one call
                                   return std::to_string(number) + " squared is " + std::to_string(squared);
                                 }};
  for (int number = 0; number < 12; ++number) process.scatter(number);
  for (auto const& outcome : process.outcomes()) {
    if (outcome) std::puts(outcome->c_str());
    else std::printf("job %zu failed: %s\n", outcome.index(), outcome.error().what());
  }

  auto const used = std::ranges::count_if(gpus, [](gpu const& each) { return each.jobs > 0; });
  std::printf("%td of 3 GPUs used, %d times by two jobs at once\n", used, gpu::clashes.load());
}
