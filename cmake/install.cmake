# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)
install(TARGETS penstock penstock_tbb EXPORT penstock-targets FILE_SET HEADERS)
install(EXPORT penstock-targets NAMESPACE penstock:: DESTINATION ${config_dir})
configure_package_config_file(cmake/penstock-config.cmake.in ${PROJECT_BINARY_DIR}/penstock-config.cmake
  INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/penstock-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/penstock-config.cmake ${PROJECT_BINARY_DIR}/penstock-config-version.cmake
  DESTINATION ${config_dir})
if(TARGET penstock_program)
  install(TARGETS penstock_program)
endif()
