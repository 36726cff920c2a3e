// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

#include <string>

int main() {
  penstock::thread_stage twice{2, [](int a) { return 2 * a; }};
  twice.scatter(std::string{"text"});
}
