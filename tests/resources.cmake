# SPDX-License-Identifier: Apache-2.0
# Cgroups, network and host facts of the process backend.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  osa_test(unit base/linux_host osa_base)
  osa_test(unit process/network_log osa_process_resources)
  osa_test(integration process/cgroup osa_process_resources)
  osa_test(integration process/network osa_process_resources)
  # It measures CPU time, so nothing else of ours may take any meanwhile.
  set_tests_properties(integration.process.cgroup PROPERTIES RUN_SERIAL ON)
endif()
