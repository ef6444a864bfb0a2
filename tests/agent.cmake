# SPDX-License-Identifier: Apache-2.0
osa_test(unit base/signal_name osa_base)
osa_test(unit agent/events osa_agent)
osa_test(unit agent/output_log osa_agent)
osa_test(unit agent/process osa_agent osa_backend_fake)
osa_test(unit agent/sandbox osa_agent osa_backend_fake)
osa_test(unit agent/spec osa_agent)
