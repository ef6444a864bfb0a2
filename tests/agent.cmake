# SPDX-License-Identifier: Apache-2.0
osa_test(unit base/signal_name osa_base)
osa_test(unit agent/events osa_agent)
osa_test(unit agent/output_log osa_agent)
osa_test(unit agent/process osa_agent osa_backend_fake)
osa_test(unit agent/sandbox osa_agent osa_backend_fake)
osa_test(unit agent/spec osa_agent)
add_library(osa_service_rig STATIC service_rig.c)
target_include_directories(osa_service_rig PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(osa_service_rig
  PUBLIC osa_agent_service osa_backend_fake osa_proto_agent osa_proto_rpc PkgConfig::CMOCKA)
osa_test(unit agent/service osa_service_rig)
osa_test(unit agent/service_streams osa_service_rig)
