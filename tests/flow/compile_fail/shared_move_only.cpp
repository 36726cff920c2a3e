// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <memory>

int main() {
  penstock::thread_stage make{2, [](int a) { return std::make_unique<int>(a); }};
  penstock::thread_stage use{2, [](std::unique_ptr<int> a) { return *a; }};
  auto made = make.scatter(1);
  use.scatter(made);
}
