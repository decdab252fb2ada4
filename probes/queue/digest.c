/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "probes/queue/digest.h"

void
queue_digest(const void *bytes, size_t len, char dst[QUEUE_DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned count = 0;

	if (EVP_Digest(bytes, len, raw, &count, EVP_sha1(), NULL) != 1)
		abort(); /* only without memory */
	for (size_t i = 0; i < count && 2 * i + 2 < QUEUE_DIGEST_SIZE; i++) {
		dst[2 * i] = digits[raw[i] >> 4];
		dst[2 * i + 1] = digits[raw[i] & 15];
	}
	dst[QUEUE_DIGEST_SIZE - 1] = '\0';
}
