/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SERVE_SETTINGS_H
#define REEVE_SUPERVISOR_OPERATOR_SERVE_SETTINGS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "manifests/declared.h"

/*
 * Where the status server listens and who may ask, as the last manifest that
 * was accepted has it, kept in status.json of the state directory: an operator
 * that starts while the manifest can't be read serves by it. Of the token only
 * a fingerprint, under the key that the init keeps in memory; under the same
 * key the file is sealed: what another init wrote, or somebody changed, counts
 * as not there.
 */
struct serve_settings {
	struct arena arena;            /* of the texts */
	const char *listen;            /* NULL: nothing listens */
	const char *certificate, *key; /* paths; NULL: plain HTTP */
	bool locked;                   /* who asks must bring the token */
	struct fingerprint token;
};

/* A token without a value is nothing to serve by: `listen` is NULL then. */
struct serve_settings serve_settings_of(
    const struct declared_status *declared, const struct fingerprint_key *key);
void serve_settings_fini(struct serve_settings *settings);
bool serve_settings_equal(
    const struct serve_settings *a, const struct serve_settings *b);

/* Replaces what is kept in `dir`; where nothing listens, nothing is. */
int serve_settings_keep(const struct serve_settings *settings, const char *dir,
    const struct fingerprint_key *key, struct err *err) MUST_CHECK;
/* False: nothing (of this init) is kept; `ret` is untouched. */
bool serve_settings_recall(const char *dir, const struct fingerprint_key *key,
    struct serve_settings *ret);

#endif
