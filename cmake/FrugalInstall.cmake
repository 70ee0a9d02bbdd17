# What `cmake --install` puts where: libraries, headers, pkg-config file, CMake package, the program,
# its manual page, its shell completions, its recipes and its models. tests/check_install.sh tries the result from outside.
include(CMakePackageConfigHelpers)

# What a program that links the static library needs besides it.
set(FR_STATIC_NEEDS jansson png jpeg z pcre2-8 utf8proc m pthread)

function(fr_install)
  if(FRUGAL_CUDA)
    list(APPEND FR_STATIC_NEEDS cudart_static stdc++ rt dl)
  endif()
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/frugal)
  target_link_libraries(frugal_static INTERFACE "$<INSTALL_INTERFACE:${FR_STATIC_NEEDS}>")

  install(TARGETS frugal frugal_static EXPORT frugalTargets)
  install(TARGETS frugal_cli)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/frugal DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")

  install(EXPORT frugalTargets NAMESPACE frugal:: DESTINATION ${package})
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/frugalConfig.cmake.in
                                ${CMAKE_BINARY_DIR}/frugalConfig.cmake INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/frugalConfigVersion.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/frugalConfig.cmake ${CMAKE_BINARY_DIR}/frugalConfigVersion.cmake
          DESTINATION ${package})

  list(TRANSFORM FR_STATIC_NEEDS PREPEND "-l" OUTPUT_VARIABLE needs)
  list(JOIN needs " " FR_PC_PRIVATE)
  file(RELATIVE_PATH FR_PC_UP /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/frugal.pc.in ${CMAKE_BINARY_DIR}/frugal.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/frugal.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

  install(FILES ${CMAKE_SOURCE_DIR}/docs/man/frugal.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_SOURCE_DIR}/tools/completion/frugal.bash RENAME frugal
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${CMAKE_SOURCE_DIR}/tools/completion/_frugal
          DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${CMAKE_SOURCE_DIR}/tools/completion/frugal.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/frugal
          FILES_MATCHING PATTERN "*.recipe")
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/models DESTINATION ${CMAKE_INSTALL_DATADIR}/frugal)
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
endfunction()
