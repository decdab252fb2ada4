/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_MANIFEST_H
#define REEVE_MANIFESTS_MANIFEST_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * What can be written into reeve.yaml, for editors and people. Both texts come
 * from manifests/manifest.def, the one table that the reader uses too.
 */

/* JSON Schema, draft 2020-12: `reeve schema`. Looser than the reader, never
 * stricter: what spans several keys is the reader's. */
void manifest_schema_write(struct buffer *out);
/* docs/manifest.md. */
void manifest_docs_write(struct buffer *out);

#endif
