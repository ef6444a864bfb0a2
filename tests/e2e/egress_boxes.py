#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same way out as in egress.py, for sandboxes that are boxes of a BoxLite server's double.

A box has no network card: what it opens to the proxy comes out through the helper in it, which also
says whose it is.
"""
import sys

import egress
import harness
from boxlite_double import Double


class Boxes(egress.Egress):
    host_identity = '"reason":"binary-miss"'

    @classmethod
    def setUpClass(cls):
        cls.double = Double()
        cls.addClassCleanup(cls.double.stop)
        cls.options = cls.double.options()
        super().setUpClass()


if __name__ == "__main__":
    sys.exit(harness.main())
