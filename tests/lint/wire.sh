#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The .proto files agree with OpenShell's wire contract: wire.sh ROOT
# The contract and its checker are handed out beside the checkout, not with it.
set -u
checker=$1/../shared/tools/wire-check
[ -x "$checker" ] || {
    echo "the wire contract (../shared) is not beside this checkout"
    exit 77
}
exec /usr/bin/python3 "$checker" "$1/proto"
