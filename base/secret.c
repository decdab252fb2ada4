/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

void
secret_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* The length without padding when the text has base64's form, else 0. */
static size_t
base64_digits(const char *text, size_t len)
{
	size_t digits = len;

	if (len < 8 || len % 4 != 0)
		return 0;
	while (digits > len - 2 && text[digits - 1] == '=')
		digits--;
	for (size_t i = 0; i < digits; i++) {
		if (base64_value(text[i]) < 0)
			return 0;
	}
	return digits;
}

/* Is the decoded text base64 once more, or printable with a newline at its
 * end? By chance a random value of that form is one time in 30,000. */
static bool
is_double_base64(const char *text, size_t len)
{
	char decoded[3 * 256];
	size_t digits = base64_digits(text, len);
	size_t out = 0;
	unsigned bits = 0;

	if (digits == 0 || digits > ARRAY_LEN(decoded) / 3 * 4)
		return false;
	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | (unsigned)base64_value(text[i]);
		if (i % 4 > 0)
			decoded[out++] = (char)(bits >> (6 - 2 * (i % 4)));
	}
	bool newline = out > 1 && decoded[out - 1] == '\n';
	bool again = base64_digits(decoded, out) > 0;
	size_t printable = 0;
	while (printable < out && decoded[printable] >= ' ' &&
	       decoded[printable] <= '~')
		printable++;
	explicit_bzero(decoded, sizeof(decoded));
	return again || (newline && printable == out - 1);
}

unsigned
secret_flaws(const char *value, size_t len)
{
	unsigned flaws = 0;

	if (len >= 3 && memcmp(value, "\xEF\xBB\xBF", 3) == 0) {
		flaws |= SECRET_BOM;
		value += 3;
		len -= 3;
	}
	if (len > 0 && is_space(value[len - 1]))
		flaws |= SECRET_TRAILING_SPACE;
	if (len > 0 && is_space(value[0]))
		flaws |= SECRET_LEADING_SPACE;
	while (len > 0 && is_space(value[len - 1]))
		len--;
	while (len > 0 && is_space(value[0])) {
		value++;
		len--;
	}
	if (len >= 2 && (value[0] == '"' || value[0] == '\'') &&
	    value[len - 1] == value[0])
		flaws |= SECRET_QUOTED;
	if (is_double_base64(value, len))
		flaws |= SECRET_DOUBLE_BASE64;
	return flaws;
}
