# Tests of the whole rather than of one room. The cheap ones always stand in the list; those that
# build again, or want tools beyond a compiler, only with FRUGAL_CHECKS (`make test` sets it).
function(fr_check name)
  cmake_parse_arguments(arg "" "SECONDS;COST;PROCESSORS" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_SECONDS})
  if(arg_COST)
    set_tests_properties(${name} PROPERTIES COST ${arg_COST}) # the dear ones first
  endif()
  if(arg_PROCESSORS)
    set_tests_properties(${name} PROPERTIES PROCESSORS ${arg_PROCESSORS})
  endif()
endfunction()

# The kernel room's other tests are one program; this one also runs where the component is built.
add_executable(kernel_cuda ${CMAKE_SOURCE_DIR}/tests/kernel/cuda/test_cuda.c)
target_link_libraries(kernel_cuda PRIVATE room_base room_kernel ${FR_ROOM_LIBS} ${CMOCKA_LIBRARY})
if(FRUGAL_CUDA)
  target_compile_definitions(kernel_cuda PRIVATE FR_CUDA)
endif()
fr_check(kernel/cuda SECONDS 120 COMMAND kernel_cuda)

fr_check(cli/front SECONDS 60
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_front.sh $<TARGET_FILE:frugal_cli>)
fr_check(cli/bench SECONDS 300
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_bench.sh $<TARGET_FILE:frugal_cli>)
fr_check(cli/demo SECONDS 300
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_demo.sh $<TARGET_FILE:frugal_cli>)
fr_check(cli/train SECONDS 300
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_train.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/recipes)
fr_check(cli/world SECONDS 120
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_world.sh $<TARGET_FILE:frugal_cli>)
fr_check(cli/outliers SECONDS 60
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_outliers.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/tests/golden/model/tied)
fr_check(cli/quantize SECONDS 120
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_quantize.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/recipes)
fr_check(cli/eval SECONDS 120
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_eval.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/recipes)
fr_check(cli/embed SECONDS 60
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_embed.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/tests/golden/model/bert ${CMAKE_SOURCE_DIR}/models/tales)
fr_check(cli/kmeans SECONDS 120
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_kmeans.sh $<TARGET_FILE:frugal_cli>)
# A library with sanitizers can not be loaded into a Python without them.
if(NOT CMAKE_CROSSCOMPILING AND NOT CMAKE_C_FLAGS MATCHES "fsanitize")
  fr_check(python/kmeans SECONDS 120
           COMMAND ${CMAKE_SOURCE_DIR}/tests/python/check_kmeans.sh $<TARGET_FILE:frugal>)
  set_tests_properties(python/kmeans PROPERTIES SKIP_RETURN_CODE 77) # NumPy is not there
endif()
fr_check(model/minilm SECONDS 600
         COMMAND ${CMAKE_SOURCE_DIR}/tests/model/check_minilm.sh $<TARGET_FILE:frugal_cli>)
set_tests_properties(model/minilm PROPERTIES SKIP_RETURN_CODE 77) # no such weights here
fr_check(cli/run SECONDS 60
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_run.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/models)
fr_check(cli/chat SECONDS 120
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_chat.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/models)
fr_check(cli/inspect SECONDS 60
         COMMAND ${CMAKE_SOURCE_DIR}/tests/cli/check_inspect.sh $<TARGET_FILE:frugal_cli>
         ${CMAKE_SOURCE_DIR}/tests/golden/tensor)

if(FRUGAL_CHECKS)
  set(tools ${CMAKE_SOURCE_DIR}/tools)
  fr_check(check/floors SECONDS 60 COMMAND ${tools}/check-floors)
  fr_check(check/floors-self-test SECONDS 60 COMMAND ${tools}/check-floors --self-test)
  fr_check(check/format SECONDS 60 COMMAND ${tools}/check-format)
  fr_check(check/symbols SECONDS 60 COMMAND ${CMAKE_SOURCE_DIR}/tests/install/check_symbols.sh
           $<TARGET_FILE:frugal>)
  fr_check(check/headers SECONDS 60 COMMAND ${CMAKE_SOURCE_DIR}/tests/install/check_headers.sh)
  fr_check(check/install SECONDS 300 COST 100
           COMMAND ${CMAKE_SOURCE_DIR}/tests/install/check_install.sh ${CMAKE_BINARY_DIR})
  fr_check(check/fuzz SECONDS 900 COST 900 COMMAND ${tools}/fuzz 5)
  fr_check(check/sanitizers SECONDS 1500 COST 1000 COMMAND ${tools}/check-sanitizers)
endif()
