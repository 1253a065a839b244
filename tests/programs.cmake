# Tests that are scripts: the info program, the installed library, and the rules that no compiler checks.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# The report is to take under 100 ms; a sanitizer may take its time.
set(info_seconds 0.1)
if(SPARSERT_SANITIZE)
  set(info_seconds 5)
endif()
add_test(NAME info COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/info_test.py
  $<TARGET_FILE:sparsert_info> $<TARGET_FILE:sparsert> ${info_seconds})
set_tests_properties(info PROPERTIES LABELS unit RUN_SERIAL ON)

set(install_test ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/install/install_test.py)
set(install_arguments --build ${PROJECT_BINARY_DIR} --cmake ${CMAKE_COMMAND} --compiler ${CMAKE_CXX_COMPILER}
  --generator ${CMAKE_GENERATOR})
add_test(NAME installed COMMAND ${install_test} installed ${install_arguments})
add_test(NAME subproject COMMAND ${install_test} subproject ${install_arguments}
  "--setting=-DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}" "--setting=-DCMAKE_CXX_FLAGS=${CMAKE_CXX_FLAGS}"
  "--setting=-DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}" --setting=-DSPARSERT_CUDA=OFF
  "--setting=-DSPARSERT_SIMT=${SPARSERT_SIMT}")
set_tests_properties(installed subproject PROPERTIES LABELS install TIMEOUT 2400)

add_test(NAME lint COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/lint.py ${PROJECT_SOURCE_DIR})
add_test(NAME lint_rules COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/lint_test.py)
set_tests_properties(lint lint_rules PROPERTIES LABELS lint)

# Registers, shared memory and spills of the kernels, as ptxas gave them while this build was made.
if(SPARSERT_WITH_CUDA)
  add_test(NAME ptxas COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/ptxas_test.py ${PROJECT_BINARY_DIR}
    ${CMAKE_CUDA_COMPILER_VERSION})
  set_tests_properties(ptxas PROPERTIES LABELS unit)
endif()

# What users download: the library without simt and CUDA stays small.
if(BUILD_SHARED_LIBS AND NOT SPARSERT_SANITIZE)
  add_test(NAME library_size COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/size_test.py $<TARGET_FILE:sparsert> 15)
  set_tests_properties(library_size PROPERTIES LABELS install)
endif()
