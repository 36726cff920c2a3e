// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <vector>

int main() {
  penstock::thread_stage add{2, [](int a, int b) { return a + b; }};
  add.scatter_many(std::vector<int>{1, 2});
}
