# SPDX-License-Identifier: Apache-2.0
# Cgroups, network and host facts of the process backend.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  osa_test(integration process/cgroup osa_process_resources)
  osa_test(integration process/network osa_process_resources)
endif()
