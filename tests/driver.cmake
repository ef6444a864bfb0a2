# SPDX-License-Identifier: Apache-2.0
osa_test(unit driver/image_ref osa_driver_files)
osa_test(unit driver/program osa_driver_files)
osa_test(unit driver/record osa_driver)
osa_test(unit driver/schedule osa_driver)
osa_test(unit driver/spec osa_driver)
osa_test(unit driver/tree osa_driver_files)
osa_test(unit driver/worker osa_driver_files)
