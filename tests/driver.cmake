# SPDX-License-Identifier: Apache-2.0
osa_test(unit driver/record osa_driver)
osa_test(unit driver/schedule osa_driver)
osa_test(unit driver/spec osa_driver)
