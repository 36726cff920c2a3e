// SPDX-License-Identifier: Apache-2.0
// An index_semaphore: eight tasks at a time share three GPUs, simulated here, none of which may serve two at once. A task
// prepares its data, waits for the index of a free GPU, and gives it back before it goes on, also when the GPU throws.
#include <penstock/penstock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <latch>
#include <stdexcept>
#include <string>

namespace {

class gpu {
 public:
  int square(int number, std::latch& all_busy) {
    if (is_busy_.exchange(true)) ++clashes_;
    if (jobs_++ == 0) all_busy.arrive_and_wait();  // its first job goes on when the other GPUs have one too
    is_busy_ = false;
    if (number == 7) throw std::runtime_error{"the GPU refuses a 7"};
    return number * number;
  }
  [[nodiscard]] bool was_used() const { return jobs_ > 0; }
  [[nodiscard]] int clashes() const { return clashes_; }

 private:
  std::atomic<bool> is_busy_ = false;
  std::atomic<int> clashes_ = 0;
  int jobs_ = 0;  // needs no lock: who has the index is alone with this GPU
};

}  // namespace

int main() {
  std::array<gpu, 3> gpus;
  std::latch all_busy{gpus.size()};
  penstock::index_semaphore free_gpus{gpus.size()};

  penstock::thread_stage process{{.concurrency = 8, .name = "process"}, [&](std::string const& text) {
                                   int const number = std::stoi(text);  // preprocessing needs no GPU
                                   int squared = 0;
                                   {
                                     auto const index = free_gpus.acquire();  // waits for one; first come, first served
                                     squared = gpus.at(*index).square(number, all_busy);
                                   }
                                   return text + " squared is " + std::to_string(squared);  // nor does the rest
                                 }};
  for (int number = 0; number < 12; ++number) process.scatter(std::to_string(number));
  for (auto const& outcome : process.outcomes()) {
    if (outcome) std::puts(outcome->c_str());
    else std::printf("task %zu failed: %s\n", outcome.index(), outcome.error().what());
  }

  int clashes = 0;
  for (auto const& each : gpus) clashes += each.clashes();
  std::printf("%td of %zu GPUs used, %zu leases at once at most, %d times two on one GPU\n",
              std::ranges::count_if(gpus, &gpu::was_used), free_gpus.size(), free_gpus.stats().high_water, clashes);
}
