# SPDX-License-Identifier: Apache-2.0
# The process backend and its launcher.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_library(process_fixture STATIC integration/process_fixture.c)
  target_include_directories(process_fixture PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(process_fixture PUBLIC osa_backend_process osa_policy PkgConfig::CMOCKA)
  osa_test(unit launcher/plan osa_launcher)
  osa_test(integration process_engine process_fixture)
endif()
