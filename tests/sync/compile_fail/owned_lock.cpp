// SPDX-License-Identifier: Apache-2.0
#include <penstock/light_switch.hpp>

#include <mutex>

int main() {
  std::mutex occupied;
  penstock::light_switch const room{occupied};
}
