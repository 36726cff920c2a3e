// SPDX-License-Identifier: Apache-2.0
// Two bodies of one stage that are sure to run at once write one variable without a lock.
#include <penstock/penstock.hpp>

#include <cstdio>
#include <latch>

int main() {
  long shared = 0;
  std::latch both_run{2};
  penstock::thread_stage race{2, [&](int value) {
                                both_run.arrive_and_wait();
                                shared += value;
                              }};
  race.scatter(1);
  race.scatter(2);
  race.gather();
  std::printf("%ld\n", shared);
}
