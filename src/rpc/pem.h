// SPDX-License-Identifier: Apache-2.0
/* Certificates and keys in PEM form, checked so that a person hears more than "handshake failed". */
#pragma once

#include "base/error.h"

/** rpc_pem_check_certificate() - INVALID_ARGUMENT unless @pem begins with a certificate; @path is for the message */
OSA_MUST_CHECK enum osa_code rpc_pem_check_certificate(const char *pem, const char *path,
                                                       struct osa_error *err);

/** rpc_pem_check_pair() - INVALID_ARGUMENT unless these are a certificate and its key, which has no password */
OSA_MUST_CHECK enum osa_code rpc_pem_check_pair(const char *cert, const char *cert_path,
                                                const char *key, const char *key_path,
                                                struct osa_error *err);
