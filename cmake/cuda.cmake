# SPDX-License-Identifier: Apache-2.0
# CUDA is used where it is found and needed nowhere.
include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  message(STATUS "penstock: CUDA compiler found: ${CMAKE_CUDA_COMPILER}")
else()
  message(STATUS "penstock: no CUDA compiler; building without it")
endif()
