# SPDX-License-Identifier: Apache-2.0
# Cgroups, network and host facts of the process backend.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  osa_test(unit base/linux_host osa_base)
  osa_test(unit process/network_log osa_process_resources)
  osa_test(integration process/cgroup osa_process_resources)
  osa_test(integration process/network osa_process_resources)
  # The same programs on Debian's kernel with nothing but cgroup v2.
  add_test(NAME vm.process
    COMMAND ${CMAKE_SOURCE_DIR}/tests/vm/run.sh
      $<TARGET_FILE:test_integration_process_cgroup> $<TARGET_FILE:test_integration_process_network>)
  set_tests_properties(vm.process PROPERTIES LABELS vm SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()
