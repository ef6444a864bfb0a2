# SPDX-License-Identifier: Apache-2.0
# The process backend and its launcher. Each test runs at each level of isolation, as its argument.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_library(process_fixture STATIC integration/process_fixture.c integration/delegate.c)
  target_include_directories(process_fixture PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(process_fixture PUBLIC osa_backend_process osa_policy PkgConfig::CMOCKA)
  osa_test(unit launcher/plan osa_launcher)
  osa_test(unit launcher/listeners osa_launcher)
  osa_test(unit process/audit_record osa_backend_process)
  osa_test(unit process/carve osa_backend_process)
  foreach(name process_copy process_denials process_engine process_confine process_limits
          process_door process_without)
    osa_test(integration ${name} process_fixture)
    foreach(level full rootless)
      add_test(NAME integration.${name}.${level} COMMAND test_integration_${name} ${level})
      set_tests_properties(integration.${name}.${level} PROPERTIES LABELS integration
        SKIP_RETURN_CODE 77 TIMEOUT 300)
    endforeach()
  endforeach()
  add_test(NAME integration.process_limits.delegated COMMAND test_integration_process_limits delegated)
  set_tests_properties(integration.process_limits.delegated PROPERTIES LABELS integration
    SKIP_RETURN_CODE 77 TIMEOUT 300)
  # Races need speed, not sanitizers; scripts/test.sh runs them with the release's programs.
  osa_test(race process_races process_fixture)
  set_tests_properties(race.process_races PROPERTIES TIMEOUT 300)
  foreach(level full rootless)
    add_test(NAME race.process_races.${level} COMMAND test_race_process_races ${level})
    set_tests_properties(race.process_races.${level} PROPERTIES LABELS race SKIP_RETURN_CODE 77
      TIMEOUT 300)
  endforeach()
  # The agent's side of the backend under TSan: its loop, and the threads beside it.
  set_property(TEST integration.process_engine.full integration.process_denials.full
    integration.process_door.full APPEND PROPERTY LABELS tsan)
endif()
