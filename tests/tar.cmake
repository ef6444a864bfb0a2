# SPDX-License-Identifier: Apache-2.0
osa_test(unit tar/read osa_tar)
osa_test(unit tar/unpack osa_tar)
osa_test(unit tar/pack osa_tar)
