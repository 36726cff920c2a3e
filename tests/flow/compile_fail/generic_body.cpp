// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

int main() {
  penstock::thread_stage twice{2, [](auto a) { return 2 * a; }};
}
