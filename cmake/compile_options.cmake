# SPDX-License-Identifier: Apache-2.0
# penstock_compile_options(TARGET...): what penstock's own code is compiled with; never part of what an installed target exports.
function(penstock_compile_options)
  foreach(target IN LISTS ARGN)
    target_compile_features(${target} PUBLIC cxx_std_20)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Woverloaded-virtual
      $<$<BOOL:${PENSTOCK_WARNINGS_AS_ERRORS}>:-Werror>)
    if(PENSTOCK_SANITIZE)
      # Without vptr: TBB's headers cast task memory that its own library, not instrumented, has prepared.
      target_compile_options(${target} PRIVATE -fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
      target_link_options(${target} PUBLIC -fsanitize=${PENSTOCK_SANITIZE})
    endif()
  endforeach()
endfunction()
