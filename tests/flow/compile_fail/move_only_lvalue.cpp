// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <memory>

int main() {
  penstock::thread_stage use{2, [](std::unique_ptr<int> a) { return *a; }};
  auto one = std::make_unique<int>(1);
  use.scatter(one);
}
