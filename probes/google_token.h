/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_GOOGLE_TOKEN_H
#define REEVE_PROBES_GOOGLE_TOKEN_H

#include "base/base.h"
#include "base/err.h"
#include "probes/ladder.h"

/*
 * An access token for Google's services, as their own clients get it: of the
 * service account in the file $GOOGLE_APPLICATION_CREDENTIALS (a JWT signed
 * with RS256 against its token_uri), else of the machine's metadata server
 * ($GCE_METADATA_HOST, else metadata.google.internal). Blocks within the
 * ladder's deadline: for probers. Sources: Google's "OAuth 2.0 for server to
 * server applications" and "Compute Engine metadata".
 */
int google_token(
    struct ladder *ladder, const char **ret, struct err *err) MUST_CHECK;

#endif
