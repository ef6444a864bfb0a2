#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Write the plain manifests from the chart, for those who do not use Helm.
set -euo pipefail
cd "$(dirname "$0")"
for setting in profile=restricted profile=baseline profile=full runtime=boxlite; do
    {
        printf '# SPDX-License-Identifier: Apache-2.0\n'
        printf '# Rendered from chart/ by render.sh (%s). Needs two Secrets: openshell-agent-token\n' $setting
        printf '# with the key "token", and openshell-agent-tls of type kubernetes.io/tls.\n'
        helm template agent chart --kube-version 1.31.0 --set $setting
    } >"${setting#*=}.yaml"
done
