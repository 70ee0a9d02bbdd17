# The optional CUDA component: -DFRUGAL_CUDA=ON, or the preset "cuda".
#
# Only .cu files are C++; what they offer is declared in C headers. The run-time library is linked
# statically, so that one program runs with and without a driver.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "FRUGAL_CUDA is ON, but there is no CUDA compiler (nvcc) here. Install the CUDA "
                      "toolkit and put nvcc on the PATH, or name it with -DCMAKE_CUDA_COMPILER=..., or "
                      "configure without -DFRUGAL_CUDA=ON: Frugal does all its work on the CPU too.")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 86 89 90)
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O2")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
# The programs are linked as C, so the little that a .cu file takes from C++ is named here.
set(FR_CUDA_LIBS CUDA::cudart_static stdc++)
