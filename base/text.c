/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
	NEAR_MAX = 255, /* longer texts aren't compared letter by letter */
	EXPONENT_MAX =
	    400, /* beyond it all is too large, or rounds to 0 or 1 */
};

/* What is quoted of a wrong text: enough to find it. */
#define QUOTED "'%.60s'"

bool
text_equal(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool
text_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool
text_ends(const char *text, const char *suffix)
{
	size_t len = strlen(text);
	size_t suffix_len = strlen(suffix);

	return len >= suffix_len &&
	       memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

int
text_copy(char *dst, size_t size, const char *src, struct err *err)
{
	size_t len = strlen(src);

	if (len >= size)
		return err_set(err, ERR_CAPACITY,
		    "'%.20s...' is longer than %zu bytes", src,
		    size == 0 ? 0 : size - 1);
	memcpy(dst, src, len + 1);
	return 0;
}

int
text_format(char *dst, size_t size, struct err *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(dst, size, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < size)
		return 0;
	if (size > 0)
		dst[0] = '\0';
	return err_set(err, ERR_CAPACITY, "text does not fit in %zu bytes",
	    size == 0 ? 0 : size - 1);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
refuse_i64(const char *text, int64_t min, int64_t max, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    QUOTED " is not a whole number in %lld..%lld", text, (long long)min,
	    (long long)max);
}

int
text_i64(
    const char *text, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	bool negative = text[0] == '-';
	const char *p = negative ? text + 1 : text;
	int64_t value = 0;

	if (!is_digit(*p))
		return refuse_i64(text, min, max, err);
	for (; is_digit(*p); p++) {
		int digit = *p - '0';

		/* counted downwards, where there is room for INT64_MIN */
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, digit, &value))
			return refuse_i64(text, min, max, err);
	}
	if (*p != '\0' || (!negative && value == INT64_MIN))
		return refuse_i64(text, min, max, err);
	if (!negative)
		value = -value;
	if (value < min || value > max)
		return refuse_i64(text, min, max, err);
	*ret = value;
	return 0;
}

const char *
text_hex(const uint8_t *bytes, size_t len, char *dst)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[bytes[i] >> 4];
		dst[2 * i + 1] = digits[bytes[i] & 15];
	}
	dst[2 * len] = '\0';
	return dst;
}

int
text_bool(const char *text, bool *ret, struct err *err)
{
	if (strcmp(text, "true") == 0)
		*ret = true;
	else if (strcmp(text, "false") == 0)
		*ret = false;
	else
		return err_set(err, ERR_INPUT,
		    QUOTED " is neither 'true' nor 'false'", text);
	return 0;
}

/* --- durations ----------------------------------------------------------- */

struct duration_unit {
	const char *name;
	uint64_t ns;
};

/* A name stands before those that it begins with: "ms" before "m". */
static const struct duration_unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xC2\xB5s", 1000}, /* U+00B5 and U+03BC: Go takes both */
    {"\xCE\xBCs", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", 60000000000},
    {"h", 3600000000000},
};

static const struct duration_unit *
duration_unit_at(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		if (text_starts(text, duration_units[i].name))
			return &duration_units[i];
	}
	return NULL;
}

struct decimal {
	uint64_t whole;
	const char *fraction; /* its digits, after the point */
	size_t digits;
};

/* Reads "1", "1.5" or ".5". Returns where it ended, or NULL: not a number, or
 * too large. */
static const char *
decimal_at(const char *p, struct decimal *ret)
{
	const char *start = p;
	struct decimal value = {0};

	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value.whole, 10, &value.whole) ||
		    __builtin_add_overflow(
		        value.whole, (uint64_t)(*p - '0'), &value.whole))
			return NULL;
	}
	bool digits = p != start;
	if (*p == '.') {
		value.fraction = ++p;
		while (is_digit(*p))
			p++;
		value.digits = (size_t)(p - value.fraction);
		digits = digits || value.digits > 0;
	}
	*ret = value;
	return digits ? p : NULL;
}

/* The fraction of `unit` (at most UINT64_MAX / 10), rounded up. Exact for any
 * number of digits: divided from the last one, where the floor of floors is
 * the floor, and any remainder rounds up. */
static uint64_t
decimal_fraction(const struct decimal *value, uint64_t unit)
{
	uint64_t part = 0;
	bool rest = false;

	for (size_t i = value->digits; i > 0; i--) {
		part += (uint64_t)(value->fraction[i - 1] - '0') * unit;
		rest = rest || part % 10 != 0;
		part /= 10;
	}
	return part + (rest ? 1 : 0);
}

/* Adds `value` units to `*ns`; false when that is too much. */
static bool
duration_add(
    uint64_t *ns, const struct decimal *value, const struct duration_unit *unit)
{
	uint64_t whole_ns;

	return !__builtin_mul_overflow(value->whole, unit->ns, &whole_ns) &&
	       !__builtin_add_overflow(*ns, whole_ns, ns) &&
	       !__builtin_add_overflow(
	           *ns, decimal_fraction(value, unit->ns), ns) &&
	       *ns <= INT64_MAX; /* Go's own limit: 292 years */
}

static int
refuse_duration(const char *text, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    QUOTED " is not a duration such as '30s', '1h30m' or '500ms'",
	    text);
}

int
text_duration_ms(const char *text, int64_t *ret_ms, struct err *err)
{
	uint64_t ns = 0;
	const char *p = text;

	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	do {
		struct decimal value;
		p = decimal_at(p, &value);
		if (p == NULL)
			return refuse_duration(text, err);
		const struct duration_unit *unit = duration_unit_at(p);
		if (unit == NULL)
			return refuse_duration(text, err);
		if (!duration_add(&ns, &value, unit))
			return err_set(err, ERR_INPUT,
			    QUOTED " is longer than 292 years", text);
		p += strlen(unit->name);
	} while (*p != '\0');
	*ret_ms = (int64_t)((ns + 999999) / 1000000);
	return 0;
}

/* --- quantities ---------------------------------------------------------- */

struct quantity {
	const char *digits; /* "1.5" within the text */
	const char *end;    /* after its last digit */
	int exponent;       /* of ten */
	uint64_t factor;    /* 1024^n for the binary suffixes, else 1 */
};

struct quantity_suffix {
	const char *name;
	int exponent;
	uint64_t factor;
};

static const struct quantity_suffix quantity_suffixes[] = {
    {"", 0, 1},
    {"n", -9, 1},
    {"u", -6, 1},
    {"m", -3, 1},
    {"k", 3, 1},
    {"M", 6, 1},
    {"G", 9, 1},
    {"T", 12, 1},
    {"P", 15, 1},
    {"E", 18, 1},
    {"Ki", 0, UINT64_C(1) << 10},
    {"Mi", 0, UINT64_C(1) << 20},
    {"Gi", 0, UINT64_C(1) << 30},
    {"Ti", 0, UINT64_C(1) << 40},
    {"Pi", 0, UINT64_C(1) << 50},
    {"Ei", 0, UINT64_C(1) << 60},
};

/* "e3", "E-2" to the end of the text. */
static bool
quantity_exponent(const char *p, struct quantity *quantity)
{
	if (*p != 'e' && *p != 'E')
		return false;
	p++;
	bool negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	if (!is_digit(*p))
		return false;
	int value = 0;
	for (; is_digit(*p); p++)
		value = MIN(value * 10 + (*p - '0'), EXPONENT_MAX);
	quantity->exponent = negative ? -value : value;
	quantity->factor = 1;
	return *p == '\0';
}

static bool
quantity_scan(const char *text, struct quantity *ret)
{
	struct quantity quantity = {.digits = text};
	const char *p = text;
	size_t digits = 0;

	for (; is_digit(*p); p++)
		digits++;
	if (*p == '.') {
		for (p++; is_digit(*p); p++)
			digits++;
	}
	if (digits == 0)
		return false;
	quantity.end = p;
	for (size_t i = 0; i < ARRAY_LEN(quantity_suffixes); i++) {
		const struct quantity_suffix *suffix = &quantity_suffixes[i];
		if (strcmp(p, suffix->name) != 0)
			continue;
		quantity.exponent = suffix->exponent;
		quantity.factor = suffix->factor;
		*ret = quantity;
		return true;
	}
	if (!quantity_exponent(p, &quantity))
		return false;
	*ret = quantity;
	return true;
}

/* The digit at ten to the power of `place`; 0 outside. */
static unsigned
quantity_digit(const struct quantity *quantity, long place)
{
	const char *point = memchr(
	    quantity->digits, '.', (size_t)(quantity->end - quantity->digits));
	const char *ones = (point != NULL ? point : quantity->end) - 1;
	ptrdiff_t before = ones - quantity->digits;

	if (place >= 0)
		return place <= before ? (unsigned)(ones[-place] - '0') : 0;
	if (point == NULL || -place >= quantity->end - point)
		return 0;
	return (unsigned)(point[-place] - '0');
}

/* quantity × 10^shift, rounded up. Exact in 64 bits: the whole part is summed
 * upwards, the fraction divided as in decimal_fraction. */
static bool
quantity_value(const struct quantity *quantity, int shift, int64_t *ret)
{
	long power = (long)quantity->exponent + shift;
	long len = (long)(quantity->end - quantity->digits);
	uint64_t value = 0;
	uint64_t fraction = 0;
	bool rest = false;

	for (long place = len; place >= -power; place--) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(
		        value, quantity_digit(quantity, place), &value))
			return false;
	}
	for (long place = -len; place < -power; place++) {
		fraction += quantity_digit(quantity, place) * quantity->factor;
		rest = rest || fraction % 10 != 0;
		fraction /= 10;
	}
	if (__builtin_mul_overflow(value, quantity->factor, &value) ||
	    __builtin_add_overflow(value, fraction + (rest ? 1 : 0), &value) ||
	    value > INT64_MAX)
		return false;
	*ret = (int64_t)value;
	return true;
}

static int
quantity_read(const char *text, int shift, int64_t *ret, struct err *err)
{
	struct quantity quantity;

	if (!quantity_scan(text, &quantity))
		return err_set(err, ERR_INPUT,
		    QUOTED
		    " is not a quantity such as '512Mi', '1.5' or '250m'",
		    text);
	if (!quantity_value(&quantity, shift, ret))
		return err_set(
		    err, ERR_INPUT, "quantity " QUOTED " is too large", text);
	return 0;
}

int
text_quantity_milli(const char *text, int64_t *ret_milli, struct err *err)
{
	return quantity_read(text, 3, ret_milli, err);
}

int
text_quantity(const char *text, int64_t *ret, struct err *err)
{
	return quantity_read(text, 0, ret, err);
}

int
text_ratio(const char *text, double *ret, struct err *err)
{
	struct decimal value;
	const char *end = decimal_at(text, &value);

	if (end == NULL || (strcmp(end, "") != 0 && strcmp(end, "%") != 0))
		return err_set(err, ERR_INPUT,
		    QUOTED " is not a ratio such as '10%%' or '0.1'", text);
	uint64_t most = *end == '%' ? 100 : 1;
	uint64_t billionths = decimal_fraction(&value, 1000000000);
	if (value.whole > most || (value.whole == most && billionths > 0))
		return err_set(err, ERR_INPUT,
		    QUOTED " is more than the whole (100%%)", text);
	*ret = ((double)value.whole + (double)billionths / 1e9) / (double)most;
	return 0;
}

/* --- near words ---------------------------------------------------------- */

/* One row of the distance table: `now` from the two rows before it. */
static void
distance_row(const char *a, size_t row, const char *b, size_t b_len,
    unsigned short rows[3][NEAR_MAX + 1])
{
	unsigned short *now = rows[row % 3];
	const unsigned short *last = rows[(row + 2) % 3];
	const unsigned short *older = rows[(row + 1) % 3];

	now[0] = (unsigned short)row;
	for (size_t i = 1; i <= b_len; i++) {
		unsigned other = a[row - 1] != b[i - 1] ? 1U : 0U;
		unsigned best = MIN(last[i] + 1U, now[i - 1] + 1U);

		best = MIN(best, last[i - 1] + other);
		if (row > 1 && i > 1 && a[row - 1] == b[i - 2] &&
		    a[row - 2] == b[i - 1])
			best = MIN(best, older[i - 2] + 1U);
		now[i] = (unsigned short)best;
	}
}

unsigned
text_distance(const char *a, const char *b, unsigned limit)
{
	unsigned short rows[3][NEAR_MAX + 1];
	unsigned beyond = limit == UINT_MAX ? UINT_MAX : limit + 1;
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	if (strcmp(a, b) == 0)
		return 0;
	if (a_len > NEAR_MAX || b_len > NEAR_MAX)
		return beyond;
	size_t gap = a_len > b_len ? a_len - b_len : b_len - a_len;
	if (gap > limit)
		return beyond;
	memset(rows, 0, sizeof(rows));
	for (size_t i = 0; i <= b_len; i++)
		rows[0][i] = (unsigned short)i;
	for (size_t row = 1; row <= a_len; row++)
		distance_row(a, row, b, b_len, rows);
	unsigned distance = rows[a_len % 3][b_len];
	return MIN(distance, beyond);
}

const char *
text_nearest(const char *text, const char *const *words, size_t count)
{
	const char *nearest = NULL;
	size_t len = strlen(text);
	unsigned best = UINT_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t longer = MAX(len, strlen(words[i]));
		unsigned limit = MAX(1U, (unsigned)MIN(longer, NEAR_MAX) / 3);
		unsigned distance = text_distance(text, words[i], limit);

		if (distance <= limit && distance < best) {
			best = distance;
			nearest = words[i];
		}
	}
	return nearest;
}

const char *
text_ms_for_people(int64_t ms, char *dst, size_t size)
{
	const char *sign = ms < 0 ? "-" : "";
	uint64_t t = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	unsigned long long s = t / 1000;
	unsigned long long min = s / 60;
	unsigned long long h = min / 60;

	if (t < 1000)
		(void)snprintf(
		    dst, size, "%s%llu ms", sign, (unsigned long long)t);
	else if (s < 10 && t % 1000 >= 100)
		(void)snprintf(dst, size, "%s%llu.%llu s", sign, s,
		    (unsigned long long)(t % 1000 / 100));
	else if (s < 60)
		(void)snprintf(dst, size, "%s%llu s", sign, s);
	else if (min < 10 && s % 60 != 0)
		(void)snprintf(
		    dst, size, "%s%llu min %02llu s", sign, min, s % 60);
	else if (min < 60)
		(void)snprintf(dst, size, "%s%llu min", sign, min);
	else if (h < 48)
		(void)snprintf(
		    dst, size, "%s%llu h %02llu min", sign, h, min % 60);
	else
		(void)snprintf(
		    dst, size, "%s%llu d %02llu h", sign, h / 24, h % 24);
	return dst;
}
