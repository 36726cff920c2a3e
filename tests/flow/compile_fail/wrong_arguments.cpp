// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

int main() {
  penstock::thread_stage add{2, [](int a, int b) { return a + b; }};
  add.scatter(1);
}
