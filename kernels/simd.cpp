// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd.hpp"

namespace penstock::kernels {

simd_level best_simd_level() noexcept {
#if defined(__x86_64__)
  static simd_level const level = __builtin_cpu_supports("avx2") ? simd_level::avx2 : simd_level::portable;
  return level;
#else
  return simd_level::portable;
#endif
}

}  // namespace penstock::kernels
