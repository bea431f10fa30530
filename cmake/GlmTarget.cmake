# Settings every target of ours shares.

find_program(GLM_CCACHE ccache)
if(GLM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GLM_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${GLM_CCACHE})
endif()

option(GLM_WERROR "Treat warnings as errors (set by our presets)" OFF)

function(glm_target name)
  set(warnings -Wall -Wextra -Wshadow -Wconversion)
  if(GLM_WERROR)
    list(APPEND warnings -Werror)
  endif()
  # g++ sees uninitialised members of variants everywhere once a sanitizer adds its checks.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    list(APPEND warnings -Wno-maybe-uninitialized)
  endif()
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
endfunction()

# glm_test(blob_store LABEL unit LINK glm_store): <name>_test.cc in the calling folder, one program,
# its cases listed as <folder>/<name>.<case>. FIXTURES names what other tests set up before.
function(glm_test name)
  cmake_parse_arguments(arg "" "LABEL;FIXTURES" "LINK;SOURCES" ${ARGN})
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
  string(REPLACE "/" "_" target "${folder}_${name}_test")
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  add_executable(${target} ${name}_test.cc ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE GLM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  glm_target(${target})
  gtest_discover_tests(${target} TEST_PREFIX "${folder}/${name}." DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABEL}" TIMEOUT 120 FIXTURES_REQUIRED "${arg_FIXTURES}")
endfunction()
