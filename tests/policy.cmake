# SPDX-License-Identifier: Apache-2.0
osa_test(unit policy/document osa_policy)
osa_test(unit policy/document_reject osa_policy)
osa_test(unit wire/policy osa_wire)
osa_test(unit policy/paths osa_policy)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  osa_test(unit process/landlock_plan osa_process_confine)
  osa_test(integration process/landlock osa_process_confine)
endif()
