// SPDX-License-Identifier: Apache-2.0
#include <penstock/penstock.hpp>

struct account {
  int balance(int scale) const { return scale; }
};

int main() { penstock::thread_stage balance{2, &account::balance}; }
