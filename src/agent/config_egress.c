// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#define AT(field) offsetof(struct agent_config, egress.field)

static const struct osa_option_name failure_modes[] = {
    { "fail_closed", POLICY_FAIL_CLOSED },
    { "retain_last_valid", POLICY_RETAIN_VALID },
    { 0 },
};

const struct osa_option egress_option_rows[EGRESS_OPTION_COUNT] = {
    { .flag = "policy-strict",
      .variable = "OPENSHELL_AGENT_POLICY_STRICT",
      .key = "policy_strict",
      .type = OSA_OPTION_BOOL,
      .offset = AT(policy_strict),
      .help =
          "Read network policies in the safer way where OpenShell's own is surprising: rules are "
          "enforced unless they say audit, a * in deny rules matches dots as well, and more" },
    { .flag = "policy-failure-mode",
      .variable = "OPENSHELL_AGENT_POLICY_FAILURE_MODE",
      .key = "policy_failure_mode",
      .type = OSA_OPTION_ENUM,
      .offset = AT(failure_mode),
      .names = failure_modes,
      .def = "fail_closed",
      .value = "MODE",
      .help = "What a sandbox does whose newer policy cannot be used: refuse everything until a "
              "usable one comes, or go on with the last good one" },
    { .flag = "egress-ca",
      .variable = "OPENSHELL_AGENT_EGRESS_CA",
      .key = "egress_ca",
      .type = OSA_OPTION_PATH,
      .offset = AT(ca),
      .value = "FILE",
      .help = "Certificate authorities, PEM, that servers outside are believed by beside the "
              "host's, when the egress proxy looks into TLS" },
    { .flag = "egress-dns",
      .variable = "OPENSHELL_AGENT_EGRESS_DNS",
      .key = "egress_dns",
      .type = OSA_OPTION_LIST,
      .offset = AT(dns),
      .value = "ADDRESS",
      .help = "Name server, IP or IP:PORT, that the egress proxy asks. Default: the host's" },
    { .flag = "upstream-proxy",
      .variable = "OPENSHELL_AGENT_UPSTREAM_PROXY",
      .key = "upstream_proxy",
      .type = OSA_OPTION_STRING,
      .offset = AT(parent.proxy),
      .value = "URL",
      .help = "A proxy, http://HOST:PORT, that tunnels and redirected TCP take on their way out; "
              "plain HTTP goes out directly. The variables of the environment are not looked at" },
    { .flag = "upstream-no-proxy",
      .variable = "OPENSHELL_AGENT_UPSTREAM_NO_PROXY",
      .key = "upstream_no_proxy",
      .type = OSA_OPTION_STRING,
      .offset = AT(parent.no_proxy),
      .value = "LIST",
      .help = "What goes out directly all the same: with commas, *, an address, ADDRESS/BITS or a "
              "name with all below it, each with :PORT or without" },
    { .flag = "upstream-proxy-auth-file",
      .variable = "OPENSHELL_AGENT_UPSTREAM_PROXY_AUTH_FILE",
      .key = "upstream_proxy_auth_file",
      .type = OSA_OPTION_PATH,
      .offset = AT(parent.auth_file),
      .value = "FILE",
      .help = "File with one line, user:password, for that proxy; read at the start" },
    { .flag = "upstream-proxy-auth-allow-insecure",
      .variable = "OPENSHELL_AGENT_UPSTREAM_PROXY_AUTH_ALLOW_INSECURE",
      .key = "upstream_proxy_auth_allow_insecure",
      .type = OSA_OPTION_BOOL,
      .offset = AT(parent.auth_allow_insecure),
      .help = "Say with such a file that the password may travel in the clear" },
    { .flag = "upstream-proxy-connect-by-hostname",
      .variable = "OPENSHELL_AGENT_UPSTREAM_PROXY_CONNECT_BY_HOSTNAME",
      .key = "upstream_proxy_connect_by_hostname",
      .type = OSA_OPTION_BOOL,
      .offset = AT(parent.by_hostname),
      .help = "Tell that proxy names instead of the addresses that were checked, which it then "
              "looks up by itself" },
    { .flag = "ocsf-file",
      .variable = "OPENSHELL_AGENT_OCSF_FILE",
      .key = "ocsf_file",
      .type = OSA_OPTION_PATH,
      .offset = AT(ocsf_file),
      .value = "FILE",
      .help = "Append each decision of the egress proxy to this file, as an event of OCSF 1.8.0 in "
              "JSON, one a line; begun anew when it is moved away" },
};
