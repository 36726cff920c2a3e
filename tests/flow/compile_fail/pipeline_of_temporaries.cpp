// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

int main() {
  penstock::thread_stage first{2, [](int a) { return a; }};
  auto joined = first | penstock::thread_stage{2, [](int a) { return a; }};
}
