# What weft-bench is built from besides its own sources: the peers found on this machine. A portable build measures
# Weft alone.
set(native -O3 -ffp-contract=fast)
if(NOT WEFT_PORTABLE)
  list(APPEND native -march=native)
endif()
set_source_files_properties(weft_bench/machine_limits.cpp PROPERTIES COMPILE_OPTIONS "${native}"
  SKIP_PRECOMPILE_HEADERS ON)

find_package(Eigen3 QUIET NO_MODULE)
if(Eigen3_FOUND AND NOT WEFT_PORTABLE)
  get_target_property(eigen Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
  target_include_directories(weft-bench SYSTEM PRIVATE ${eigen})
  set_source_files_properties(weft_bench/peer_eigen.cpp PROPERTIES
    COMPILE_DEFINITIONS WEFT_BENCH_EIGEN=1 COMPILE_OPTIONS "${native};-Wno-maybe-uninitialized"
    SKIP_PRECOMPILE_HEADERS ON)
endif()

# The rows in Python travel in the program, as text.
foreach(peer numpy cuda)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS weft_bench/peer_${peer}.py)
  file(READ weft_bench/peer_${peer}.py script)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/weft_bench/${peer}_script.h
    CONTENT "inline constexpr char @peer@_script[] = R\"python(@script@)python\";\n" @ONLY)
endforeach()
target_include_directories(weft-bench PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/weft_bench)

find_path(TORCH_API torch/torch.h PATH_SUFFIXES torch/csrc/api/include)
find_library(TORCH torch)
find_library(TORCH_CPU torch_cpu)
find_library(C10 c10)
if(TORCH_API AND TORCH AND TORCH_CPU AND C10 AND NOT WEFT_PORTABLE)
  add_executable(weft-bench-torch weft_bench/torch/main.cpp weft_bench/torch/networks.cpp
    weft_bench/work.cpp weft_bench/networks.cpp)
  target_include_directories(weft-bench-torch SYSTEM PRIVATE ${TORCH_API})
  target_include_directories(weft-bench-torch PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(weft-bench-torch PRIVATE ${TORCH} ${TORCH_CPU} ${C10} Threads::Threads)
  target_compile_options(weft-bench-torch PRIVATE -O2 -w)
endif()

find_path(DNNL_API oneapi/dnnl/dnnl.hpp)
find_library(DNNL dnnl)
if(DNNL_API AND DNNL AND NOT WEFT_PORTABLE)
  add_executable(weft-bench-onednn weft_bench/onednn/main.cpp weft_bench/work.cpp weft_bench/networks.cpp)
  target_include_directories(weft-bench-onednn SYSTEM PRIVATE ${DNNL_API})
  target_include_directories(weft-bench-onednn PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(weft-bench-onednn PRIVATE weft_flags ${DNNL} Threads::Threads)
endif()
