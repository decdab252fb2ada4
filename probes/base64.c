/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include <openssl/evp.h>

#include "probes/base64.h"

enum {
	GROUPS = 256 /* of three bytes, at a time */
};

void
base64_encode(struct buffer *out, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;

	for (size_t at = 0; at < len;) {
		unsigned char text[BASE64_SIZE(3 * GROUPS)];
		size_t some = MIN(len - at, (size_t)3 * GROUPS);
		int count = EVP_EncodeBlock(text, from + at, (int)some);

		buffer_append(out, text, (size_t)count);
		explicit_bzero(text, sizeof(text));
		at += some;
	}
}

int
base64_decode(struct arena *arena, const char *text, const char **ret,
    size_t *ret_len, struct err *err)
{
	size_t len = strlen(text);
	size_t digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "abcdefghijklmnopqrstuvwxyz0123456789+/");
	size_t padding = len - digits;

	if (len % 4 != 0 || padding > 2 ||
	    strspn(text + digits, "=") != padding || len > INT32_MAX)
		return err_set(err, ERR_INPUT, "it is not base64");
	unsigned char *bytes = arena_alloc(arena, len / 4 * 3 + 1);
	int count =
	    EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);

	if (count < 0)
		return err_set(err, ERR_INPUT, "it is not base64");
	*ret_len = (size_t)count - padding;
	bytes[*ret_len] = '\0';
	*ret = (const char *)bytes;
	return 0;
}
