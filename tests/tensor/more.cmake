# The files that tensor_write leaves, as other programs see them.
set_tests_properties(tensor/tensor_write PROPERTIES FIXTURES_SETUP written_files)
add_test(NAME tensor/peers COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_peers.sh tensor_write.out
         WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(tensor/peers PROPERTIES FIXTURES_REQUIRED written_files SKIP_RETURN_CODE 77
                                             TIMEOUT 120)
