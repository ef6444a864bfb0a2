# SPDX-License-Identifier: Apache-2.0
# The BoxLite backend over the double of its server.
osa_test(unit guest/link osa_guest)
osa_test(unit guest/conduit osa_guest)
osa_test(unit guest/messages osa_guest osa_io)
if(TARGET osa_backend_boxlite)
  add_library(boxlite_fixture STATIC integration/boxlite_fixture.c)
  target_include_directories(boxlite_fixture PUBLIC ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(boxlite_fixture
    PRIVATE BOXLITE_DOUBLE="${CMAKE_CURRENT_SOURCE_DIR}/boxlite/double.py")
  target_link_libraries(boxlite_fixture PUBLIC osa_backend_boxlite osa_policy PkgConfig::CMOCKA)
  osa_test(integration boxlite_engine boxlite_fixture)
  osa_test(integration boxlite_hostile boxlite_fixture)
  osa_test(integration boxlite_helper boxlite_fixture)
  osa_test(integration boxlite_server boxlite_fixture)
  osa_test(integration backend_boxlite boxlite_fixture osa_conformance)
endif()
