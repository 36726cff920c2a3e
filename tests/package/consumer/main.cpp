// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <cstdio>
#include <vector>

int main() {
  penstock::thread_stage twice{4, [](int number) { return 2 * number; }};
  for (int number = 0; number < 100; ++number) twice.scatter(number);

  std::vector<int> expected;
  for (int number = 0; number < 100; ++number) expected.push_back(2 * number);
  if (twice.gather() != expected) {
    std::puts("the results are not the doubled numbers in scatter order");
    return 1;
  }
}
