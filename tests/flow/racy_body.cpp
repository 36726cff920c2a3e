// SPDX-License-Identifier: Apache-2.0
// Two bodies of one stage write one variable without a lock.
#include <penstock/penstock.hpp>

#include <cstdio>

int main() {
  long shared = 0;
  penstock::thread_stage race{4, [&shared](int value) { shared += value; }};
  for (int i = 0; i < 20'000; ++i) race.scatter(i);
  race.gather();
  std::printf("%ld\n", shared);
}
