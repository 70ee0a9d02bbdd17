# The files that format_file leaves, as the readers that docs/formats.md prints see them.
set_tests_properties(format/format_file PROPERTIES FIXTURES_SETUP format_files)
add_test(NAME format/numpy COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_numpy.sh format_file.out
         WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(format/numpy PROPERTIES FIXTURES_REQUIRED format_files SKIP_RETURN_CODE 77
                                             TIMEOUT 120)
