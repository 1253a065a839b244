# What everything is compiled with: dependencies, the CUDA toolkit if any, numeric flags, sanitizers.

find_package(Threads REQUIRED)
find_package(TBB REQUIRED)
find_package(hwy REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)

# ---- CUDA: AUTO takes a toolkit where there is one.
set(SPARSERT_WITH_CUDA 0)
if(SPARSERT_CUDA STREQUAL "ON")
  set(SPARSERT_WITH_CUDA 1)
elseif(SPARSERT_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(SPARSERT_WITH_CUDA 1)
  endif()
endif()
if(SPARSERT_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80)
  endif()
  if(NOT DEFINED CMAKE_CUDA_RUNTIME_LIBRARY)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  endif()
  enable_language(CUDA)
  # CMake before 3.25.2 does not know that nvcc 12 and later take C++20.
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  find_package(CUDAToolkit REQUIRED)
endif()

# ---- SIMT: needs Thrust's headers (CCCL) for its C++ backend, and Boost.Context for its fibers.
set(SPARSERT_WITH_SIMT 0)
if(SPARSERT_SIMT)
  find_path(SPARSERT_CCCL_INCLUDE thrust/version.h
            HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include /usr/local/cuda/targets/x86_64-linux/include
            PATH_SUFFIXES cccl)
  find_package(Boost COMPONENTS context QUIET)
  if(SPARSERT_CCCL_INCLUDE AND Boost_CONTEXT_FOUND)
    set(SPARSERT_WITH_SIMT 1)
  else()
    message(WARNING "sparsert: the simt device is off (needs the CCCL headers of a CUDA toolkit and Boost.Context)")
  endif()
endif()
message(STATUS "sparsert: CUDA ${SPARSERT_WITH_CUDA}, SIMT ${SPARSERT_WITH_SIMT}")

# ---- Every target of the library: warnings, and the flags of the numeric contract (docs/numerics.md).
add_library(sparsert_build INTERFACE)
target_include_directories(sparsert_build INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(sparsert_build INTERFACE
  SPARSERT_WITH_CUDA=${SPARSERT_WITH_CUDA} SPARSERT_WITH_SIMT=${SPARSERT_WITH_SIMT})
target_compile_options(sparsert_build INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -fno-fast-math -Wall -Wextra -Wshadow -Wnon-virtual-dtor>
  $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr -Xcompiler=-ffp-contract=off,-Wall>)

if(SPARSERT_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SPARSERT_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer> -g)
  add_link_options(-fsanitize=${SPARSERT_SANITIZE})
  if(SPARSERT_SANITIZE MATCHES "thread")
    add_compile_definitions(SPARSERT_TSAN)
  endif()
endif()
