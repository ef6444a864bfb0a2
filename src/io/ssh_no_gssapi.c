// SPDX-License-Identifier: Apache-2.0
/*
 * libssh's archive asks for GSSAPI (Kerberos), of which Debian has no archive to link. Nobody here
 * authenticates by it: the server offers "none" and keys. So these say that it is not there, and the
 * program loads none of its eight libraries.
 * Source: RFC 2744, 3.9.1 (GSS_S_UNAVAILABLE); the C calling convention lets a callee ignore arguments.
 */
#define GSS_S_UNAVAILABLE (16u << 16)
#define ABSENT(name)                                                                               \
    unsigned name(void);                                                                           \
    unsigned name(void)                                                                            \
    {                                                                                              \
        return GSS_S_UNAVAILABLE;                                                                  \
    }

ABSENT(gss_accept_sec_context)
ABSENT(gss_acquire_cred)
ABSENT(gss_add_oid_set_member)
ABSENT(gss_create_empty_oid_set)
ABSENT(gss_display_name)
ABSENT(gss_display_status)
ABSENT(gss_get_mic)
ABSENT(gss_import_name)
ABSENT(gss_indicate_mechs)
ABSENT(gss_init_sec_context)
ABSENT(gss_inquire_cred)
ABSENT(gss_inquire_cred_by_mech)
ABSENT(gss_release_buffer)
ABSENT(gss_release_cred)
ABSENT(gss_release_name)
ABSENT(gss_release_oid_set)
ABSENT(gss_test_oid_set_member)
ABSENT(gss_verify_mic)

extern void *const GSS_C_NT_HOSTBASED_SERVICE;
extern void *const GSS_C_NT_USER_NAME;
void *const GSS_C_NT_HOSTBASED_SERVICE = 0;
void *const GSS_C_NT_USER_NAME = 0;
