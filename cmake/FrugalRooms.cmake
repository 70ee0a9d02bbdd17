# How a room becomes objects, the objects a library, and the library a program.
#
# A room is an object library over all its .c files. FR_ROOMS lists the rooms from the ground up and
# FR_ROOM_LIBS what they need from outside; a test of a room links that room and those below it.
set(FR_ROOMS "")
set(FR_ROOM_LIBS "")

macro(fr_room_register name)
  list(APPEND FR_ROOMS ${name})
  set(FR_ROOMS_UP_TO_${name} ${FR_ROOMS})
  list(APPEND FR_ROOM_LIBS ${ARGN})
endmacro()

function(fr_room_target name)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(${name} PUBLIC ${FR_ROOM_LIBS})
endfunction()

macro(fr_room name)
  fr_room_register(${name} ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  add_library(room_${name} OBJECT ${sources})
  fr_room_target(room_${name})
endmacro()

# One folder of kernels for one instruction set. The folder simd/ is compiled for each of them, with
# FR_ISA as the suffix of its functions' names.
function(fr_kernel_isa isa flags)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/${isa}/*.c)
  if(sources)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${flags}")
    target_sources(room_kernel PRIVATE ${sources})
  endif()
endfunction()

# Each source goes through a file of one line of its own, so that the objects are the room's.
function(fr_kernel_simd isa flags)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/simd/*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    set(wrapper ${CMAKE_BINARY_DIR}/simd/${name}_${isa}.c)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"kernel/simd/${name}.c\"\n")
    set_source_files_properties(${wrapper} PROPERTIES COMPILE_OPTIONS "${flags}"
                                COMPILE_DEFINITIONS FR_ISA=${isa})
    target_sources(room_kernel PRIVATE ${wrapper})
  endforeach()
endfunction()

macro(fr_kernel_room)
  fr_room_register(kernel)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/*.c
                                      ${CMAKE_SOURCE_DIR}/src/kernel/ref/*.c)
  add_library(room_kernel OBJECT ${sources})
  if(FRUGAL_CUDA)
    file(GLOB cuda CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/cuda/*.cu)
    target_sources(room_kernel PRIVATE ${cuda})
    list(APPEND FR_ROOM_LIBS ${FR_CUDA_LIBS})
  else()
    target_sources(room_kernel PRIVATE ${CMAKE_SOURCE_DIR}/src/kernel/cuda/none.c)
  endif()
  fr_room_target(room_kernel)
  # Products and sums may be contracted in vector code: it says so itself, with FMA.
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx2 -mavx2 -mfma -mf16c ${FRUGAL_KERNEL_OPT})
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
    fr_kernel_isa(avx2 "${avx2}")
    fr_kernel_isa(avxvnni "${avx2};-mavxvnni")
    fr_kernel_isa(avx512 "${avx512}")
    fr_kernel_isa(avx512vnni "${avx512};-mavx512vnni")
    fr_kernel_isa(avx512bf16 "${avx512};-mavx512bf16")
    fr_kernel_simd(avx2 "${avx2}")
    fr_kernel_simd(avx512 "${avx512}")
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    fr_kernel_isa(neon "${FRUGAL_KERNEL_OPT}")
    fr_kernel_isa(neondot "-march=armv8.2-a+dotprod;${FRUGAL_KERNEL_OPT}")
    fr_kernel_simd(neon "${FRUGAL_KERNEL_OPT}")
  endif()
endmacro()

function(fr_library)
  set(objects "")
  foreach(room ${FR_ROOMS})
    list(APPEND objects $<TARGET_OBJECTS:room_${room}>)
  endforeach()
  add_library(frugal_static STATIC ${objects})
  add_library(frugal SHARED ${objects})
  set_target_properties(frugal_static PROPERTIES OUTPUT_NAME frugal)
  set_target_properties(frugal PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
  foreach(lib frugal frugal_static)
    add_library(frugal::${lib} ALIAS ${lib})
    target_include_directories(${lib} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    # What the library is made with is no business of those who use it: only the installed static
    # one names it again (FrugalInstall.cmake), as plain -l names that hold on another machine.
    foreach(needed ${FR_ROOM_LIBS})
      target_link_libraries(${lib} PRIVATE $<BUILD_INTERFACE:${needed}>)
    endforeach()
  endforeach()
endfunction()

function(fr_program)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/cli/*.c)
  add_executable(frugal_cli ${sources})
  set_target_properties(frugal_cli PROPERTIES OUTPUT_NAME frugal)
  target_include_directories(frugal_cli PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(frugal_cli PRIVATE frugal_static ${FR_ROOM_LIBS})
endfunction()
