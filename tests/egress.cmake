# SPDX-License-Identifier: Apache-2.0
# The egress proxy and what it stands on.
osa_test(unit base/mover osa_base)
osa_test(unit egress/head osa_egress)
osa_test(unit egress/target osa_egress)
osa_test(unit egress/gate osa_egress)
osa_test(unit io/tls osa_io)
osa_test(unit agent/aliases osa_agent)
