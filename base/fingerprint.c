/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/secret.h"

/* SipHash-2-4 with a 128-bit result, after the paper of Aumasson and Bernstein
 * and the constants of their reference implementation. */

struct sip {
	uint64_t v[4];
};

static uint64_t
rotate(uint64_t x, unsigned bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void
sip_round(struct sip *s)
{
	uint64_t *v = s->v;

	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t
load_le64(const uint8_t *p)
{
	uint64_t x = 0;

	for (unsigned i = 0; i < 8; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static void
store_le64(uint8_t *p, uint64_t x)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static void
sip_word(struct sip *s, uint64_t m)
{
	s->v[3] ^= m;
	sip_round(s);
	sip_round(s);
	s->v[0] ^= m;
}

static uint64_t
sip_finish(struct sip *s)
{
	for (unsigned i = 0; i < 4; i++)
		sip_round(s);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

struct fingerprint
fingerprint_of(const struct fingerprint_key *key, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t k0 = load_le64(key->bytes);
	uint64_t k1 = load_le64(key->bytes + 8);
	struct fingerprint result;
	uint8_t last[8] = {0};
	struct sip s = {{
	    k0 ^ UINT64_C(0x736f6d6570736575),
	    k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
	    k0 ^ UINT64_C(0x6c7967656e657261),
	    k1 ^ UINT64_C(0x7465646279746573),
	}};

	for (size_t i = 0; i < len / 8; i++)
		sip_word(&s, load_le64(p + 8 * i));
	if (len % 8 > 0)
		memcpy(last, p + len / 8 * 8, len % 8);
	last[7] = (uint8_t)len;
	sip_word(&s, load_le64(last));
	explicit_bzero(last, sizeof(last));
	s.v[2] ^= 0xee;
	store_le64(result.bytes, sip_finish(&s));
	s.v[1] ^= 0xdd;
	store_le64(result.bytes + 8, sip_finish(&s));
	explicit_bzero(&s, sizeof(s));
	return result;
}

bool
fingerprint_equal(const struct fingerprint *a, const struct fingerprint *b)
{
	unsigned differ = 0;

	for (size_t i = 0; i < sizeof(a->bytes); i++)
		differ |= (unsigned)a->bytes[i] ^ b->bytes[i];
	return differ == 0;
}

const char *
fingerprint_text(
    const struct fingerprint *fingerprint, char dst[FINGERPRINT_TEXT_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	char *p = dst;

	*p++ = 'h';
	*p++ = ':';
	for (unsigned i = 0; i < 4; i++) {
		*p++ = hex[fingerprint->bytes[i] >> 4];
		*p++ = hex[fingerprint->bytes[i] & 15];
	}
	*p = '\0';
	return dst;
}

void
fingerprint_key_random(struct fingerprint_key *ret)
{
	static const char why[] = "reeve: the kernel gives no random bytes\n";
	ssize_t n;

	/* up to 256 bytes come whole once the pool is ready */
	do
		n = getrandom(ret->bytes, sizeof(ret->bytes), 0);
	while (n == -1 && errno == EINTR);
	if (n == (ssize_t)sizeof(ret->bytes))
		return;
	(void)!write(STDERR_FILENO, why, sizeof(why) - 1);
	_exit(EXIT_BUG);
}
