// SPDX-License-Identifier: Apache-2.0
/*
 * Names that are the proxy itself. policy.local is a workload's view of its policy and a way to
 * propose changes, which nobody can switch on here yet. inference.local leads to models that an
 * operator provides; nobody has said which.
 */
#include "egress/conn.h"

#include <string.h>

bool local_connect(struct conn *conn)
{
    if (strcmp(conn->target.host, "inference.local") != 0 || conn->target.port != 443 ||
        conn->gate->config.authority == NULL)
        return false;
    conn->local = true;
    tunnel_begin(conn);
    return true;
}

bool local_request(struct conn *conn)
{
    if (strcmp(conn->target.host, "policy.local") != 0)
        return false;
    if (conn->target.port != 80)
        conn_reply(conn, 400, "invalid_policy_local_scheme", "policy.local speaks HTTP on port 80",
                   NULL);
    else
        conn_reply(conn, 404, "feature_disabled", "policy proposals are not enabled", NULL);
    return true;
}

void local_inside(struct conn *conn)
{
    conn_reply_local(conn, 503, "no_inference_routes",
                     "no models are configured behind inference.local");
}
