# Finds MLIR, LLVM, LLD and Halide for the compiler and defines
#   tern_compiler_options  include paths and definitions every compiler library uses
#   tern_halide            libHalide.so from the pinned wheel
# and tern_add_library(name sources...) for compiler libraries.
find_package(MLIR REQUIRED CONFIG)
find_package(LLD REQUIRED CONFIG)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)

if(NOT TERN_PYTHON_ENV)
  message(FATAL_ERROR "TERN_PYTHON_ENV must name the Python environment with the Halide wheel; "
                      "run tools/bootstrap.sh build and use a CMake preset")
endif()
file(GLOB halide_root ${TERN_PYTHON_ENV}/lib/python3*/site-packages/halide)
if(NOT EXISTS ${halide_root}/lib64/libHalide.so)
  message(FATAL_ERROR "no Halide wheel under ${TERN_PYTHON_ENV}; run tools/bootstrap.sh build")
endif()
add_library(tern_halide SHARED IMPORTED)
set_target_properties(tern_halide PROPERTIES
  IMPORTED_LOCATION ${halide_root}/lib64/libHalide.so
  INTERFACE_INCLUDE_DIRECTORIES ${halide_root}/include)

add_library(tern_compiler_options INTERFACE)
target_include_directories(tern_compiler_options SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
target_include_directories(tern_compiler_options INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_BINARY_DIR})
separate_arguments(llvm_definitions NATIVE_COMMAND ${LLVM_DEFINITIONS})
target_compile_definitions(tern_compiler_options INTERFACE ${llvm_definitions})
target_compile_options(tern_compiler_options INTERFACE -Wno-unused-parameter)

# A static library of the compiler, linked against the shared MLIR and LLVM.
function(tern_add_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC tern_compiler_options)
endfunction()
set(TERN_MLIR_LIBRARIES MLIR LLVM)
