// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace penstock::kernels {

/// Which version of a kernel runs. Every version of one kernel gives the same bits; only its speed differs.
enum class simd_level { portable, avx2 };

/// The fastest level that this processor runs. Thread-safe; asks the processor once.
simd_level best_simd_level() noexcept;

}  // namespace penstock::kernels
