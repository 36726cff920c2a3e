// SPDX-License-Identifier: Apache-2.0
#include <penstock/index_semaphore.hpp>

int main() {
  penstock::index_semaphore indices{1};
  auto const mine = indices.acquire();
  auto const twice = mine;
}
