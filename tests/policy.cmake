# SPDX-License-Identifier: Apache-2.0
osa_test(unit policy/document osa_policy)
osa_test(unit policy/document_reject osa_policy)
osa_test(unit wire/policy osa_wire)
