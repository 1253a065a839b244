# Installing the library, its public headers, its CMake package and its pkg-config file.

include(CMakePackageConfigHelpers)

install(TARGETS sparsert EXPORT sparsertTargets
        FILE_SET public_headers DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT sparsertTargets NAMESPACE sparsert:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sparsert)
configure_package_config_file(${PROJECT_SOURCE_DIR}/scripts/cmake/sparsertConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/sparsertConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sparsert)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sparsertConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sparsertConfig.cmake ${PROJECT_BINARY_DIR}/sparsertConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sparsert)
# Relative, so that an installed tree can be moved.
file(RELATIVE_PATH SPARSERT_PREFIX_FROM_PKGCONFIG ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/scripts/cmake/sparsert.pc.in ${PROJECT_BINARY_DIR}/sparsert.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sparsert.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
