# SPDX-License-Identifier: Apache-2.0
# The egress proxy and what it stands on.
osa_test(unit base/mover osa_base)
osa_test(unit egress/head osa_egress)
osa_test(unit egress/target osa_egress)
osa_test(unit egress/gate osa_egress)
osa_test(unit egress/decisions osa_egress)
foreach(name gate decisions)
  target_sources(test_unit_egress_${name} PRIVATE unit/egress/rig.c)
endforeach()
target_compile_definitions(test_unit_egress_decisions PRIVATE OSA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
osa_test(unit io/tls osa_io)
osa_test(unit agent/aliases osa_agent)
