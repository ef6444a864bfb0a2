# SPDX-License-Identifier: Apache-2.0
osa_proto_library(osa_proto_rpc_test ROOT ${CMAKE_CURRENT_SOURCE_DIR}/proto rpc_test.proto)
add_library(osa_rpc_rig STATIC unit/rpc/rig.c)
target_include_directories(osa_rpc_rig PUBLIC unit/rpc PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(osa_rpc_rig PUBLIC osa_rpc osa_proto_rpc_test PRIVATE PkgConfig::CMOCKA)
osa_test(unit rpc/message osa_rpc osa_proto_rpc_test osa_proto_google)
osa_test(unit rpc/http2_guard osa_rpc)
osa_test(unit rpc/server osa_rpc_rig osa_proto_rpc)
osa_test(unit rpc/standard osa_rpc_rig osa_proto_rpc osa_descriptors)
target_sources(osa_rpc_rig PRIVATE unit/rpc/pki.c)
target_link_libraries(osa_rpc_rig PRIVATE osa_grpc_core) # its OpenSSL
osa_test(unit rpc/access osa_rpc_rig)
osa_test(unit rpc/hostile osa_rpc_rig osa_grpc_core)
