/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <math.h>

#include "base/secret.h"
#include "base/text.h"
#include "probes/queue/timestamp.h"
#include "tests/fuzz/fuzz.h"

/* Numbers, durations, quantities, ratios and times. */

static void
use_numbers(const char *text)
{
	int64_t value = 0, again = 0, whole = 0;
	double ratio = 0;
	bool yes = false;
	char written[32];

	if (text_i64(text, INT64_MIN, INT64_MAX, &value, NULL) == 0) {
		(void)snprintf(
		    written, sizeof(written), "%lld", (long long)value);
		int rc = text_i64(written, value, value, &again, NULL);
		assert(rc == 0 && again == value);
	}
	if (text_i64(text, -5, 70000, &value, NULL) == 0)
		assert(value >= -5 && value <= 70000);
	if (text_duration_ms(text, &value, NULL) == 0) {
		assert(value >= 0);
		(void)text_ms_for_people(value, written, sizeof(written));
	}
	if (text_quantity_milli(text, &value, NULL) == 0 &&
	    text_quantity(text, &whole, NULL) == 0)
		assert(whole == value / 1000 + (value % 1000 > 0));
	if (text_ratio(text, &ratio, NULL) == 0)
		assert(ratio >= 0 && ratio <= 1);
	(void)!text_bool(text, &yes, NULL);
	if (timestamp_parse(text, &value) == 0)
		(void)timestamp_of_number((double)value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const words[] = {"redis", "postgres", "a", ""};
	char small[16];
	double number = 0;
	struct err err = ERR_INIT;
	char *text = fuzz_text(bytes, len);

	use_numbers(text);
	(void)text_nearest(text, words, ARRAY_LEN(words));
	unsigned there = text_distance(text, "postgres", 3);
	unsigned back = text_distance("postgres", text, 3);
	assert(there == back && there <= 4);
	if (text_copy(small, sizeof(small), text, &err) == 0)
		assert(text_equal(small, text));
	(void)secret_flaws(text, len);
	if (len >= sizeof(number)) {
		memcpy(&number, bytes, sizeof(number));
		(void)timestamp_of_number(number);
	}
	free(text);
	return 0;
}
