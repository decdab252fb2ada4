/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/form.h"
#include "manifests/settings_form.h"

/* Each says what is wrong, or NULL. */
static const char *
form_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > 63 ||
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0 ||
	    text[0] == '-' || text[len - 1] == '-')
		return "must be lower-case letters, digits and '-' between "
		       "them, at most 63";
	return NULL;
}

static const char *
form_label(const char *text)
{
	size_t len = strlen(text);

	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("._:-/", *p) == NULL)
			return "must be letters, digits and . _ : - /";
	}
	return len == 0 || len > 253 ? "must have 1 to 253 characters" : NULL;
}

static const char *
form_title(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20)
			return "must be one line";
	}
	return strlen(text) > 200 ? "must have at most 200 bytes" : NULL;
}

static const char *
form_env_name(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL)
			return "is no variable's name: letters, digits and _ . "
			       "- are";
	}
	if (*text == '\0' || isdigit((unsigned char)*text))
		return "is no variable's name: it begins with a letter or _";
	return NULL;
}

static const char *
form_date(const char *text)
{
	static const int days[] = {
	    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t year, month, day;
	char copy[11];

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
		return "must be a date such as 2026-12-31";
	memcpy(copy, text, sizeof(copy));
	copy[4] = copy[7] = '\0';
	if (text_i64(copy, 2000, 9999, &year, NULL) == -1 ||
	    text_i64(copy + 5 + (copy[5] == '0'), 1, 12, &month, NULL) == -1 ||
	    text_i64(copy + 8 + (copy[8] == '0'), 1, 31, &day, NULL) == -1 ||
	    day > days[month - 1])
		return "must be a date such as 2026-12-31";
	return NULL;
}

static const char *
form_finding(const char *text)
{
	if (strlen(text) != 5 || text[0] != 'R' || text[1] != 'V' ||
	    text[2 + strspn(text + 2, "0123456789")] != '\0')
		return "must be a finding's id such as RV103";
	return NULL;
}

static const char *
form_rate(const char *text)
{
	const char *per = strstr(text, " per ");
	int64_t count, window;
	char digits[12];

	if (per == NULL || (size_t)(per - text) >= sizeof(digits))
		return "must be a rate such as '3 per 1h'";
	memcpy(digits, text, (size_t)(per - text));
	digits[per - text] = '\0';
	if (text_i64(digits, 1, 1000000, &count, NULL) == -1 ||
	    text_duration_ms(per + 5, &window, NULL) == -1 || window <= 0)
		return "must be a rate such as '3 per 1h'";
	return NULL;
}

static const char *
form_port(const char *text)
{
	int64_t port;

	if (text[strspn(text, "0123456789")] == '\0')
		return text_i64(text, 1, 65535, &port, NULL) == -1
		           ? "is no port: 1 to 65535, or a name of 'ports'"
		           : NULL;
	return form_name(text) == NULL
	           ? NULL
	           : "is no port: 1 to 65535, or a name of 'ports'";
}

static const char *
form_number_like(enum row_form form, const char *text)
{
	int64_t number;
	double ratio;

	if (form == FORM_DURATION)
		return text_duration_ms(text, &number, NULL) == -1 || number < 0
		           ? "must be a duration such as 30s, 5m or 1h30m"
		           : NULL;
	if (form == FORM_QUANTITY)
		return text_quantity_milli(text, &number, NULL) == -1 ||
		               number < 0
		           ? "must be a quantity such as 512Mi, 2 or 250m"
		           : NULL;
	return text_ratio(text, &ratio, NULL) == -1
	           ? "must be a ratio such as 10% or 0.1"
	           : NULL;
}

/* As Kubernetes' IntOrString. */
static const char *
form_portion(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	bool percent = text[digits] == '%' && text[digits + 1] == '\0';
	char copy[8];
	int64_t number = 0;

	if (digits == 0 || digits >= sizeof(copy) ||
	    (text[digits] != '\0' && !percent))
		return "must be a number such as 2, or a percentage such as "
		       "25%";
	memcpy(copy, text, digits);
	copy[digits] = '\0';
	return text_i64(copy, 1, percent ? 100 : 10000, &number, NULL) == -1
	           ? "must be from 1 to 10000, or from 1% to 100%"
	           : NULL;
}

static const char *
form_interval(const char *text)
{
	int64_t ms = 0;

	return text_duration_ms(text, &ms, NULL) == -1 || ms < 1000 ||
	               ms > INT64_C(3600) * 1000
	           ? "must be a duration from 1s to 1h"
	           : NULL;
}

static const char *
form_path(const char *text)
{
	return text[0] == '/' ? NULL : "must be an absolute path";
}

/* A URL that begins with a variable says its scheme only later. */
static const char *
form_url(const char *text)
{
	if (strpbrk(text, " \t\r\n") != NULL)
		return "must be a URL; it has white space in it";
	if (text_starts(text, "$(") || strstr(text, "://") != NULL)
		return NULL;
	return "must be a URL: scheme://host…";
}

static const char *
form_sql(const char *text)
{
	if (expand_sql_quoted(text, "$(CANARY)") != -1)
		return "has $(CANARY) within quotes or a comment: it is bound "
		       "as a parameter, so write it bare";
	if (expand_sql_quoted(text, "$(JOB)") != -1)
		return "has $(JOB) within quotes or a comment: it is bound "
		       "as a parameter, so write it bare";
	return NULL;
}

static const char *
form_header(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) &&
		    strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return "is no header's name";
	}
	return *text == '\0' ? "is no header's name" : NULL;
}

/* Of a worker's settings. */
static const char *
form_setting(enum row_form form, const char *text)
{
	struct declared_limit limit;
	uint64_t cpus[DECLARED_CPU_WORDS];
	uint32_t mask;

	if (form == FORM_RLIMIT || form == FORM_RLIMIT_BYTES)
		return settings_limit(text, form == FORM_RLIMIT_BYTES, &limit)
		           ? NULL
		           : "must be a limit such as 1024, 1024:4096 "
		             "(soft:hard, the soft one not above the hard one) "
		             "or unlimited";
	if (form == FORM_CPUS)
		return settings_cpus(text, cpus)
		           ? NULL
		           : "must be CPUs such as 0-3,7, below 1024";
	if (form == FORM_UMASK)
		return settings_umask(text, &mask)
		           ? NULL
		           : "must be an octal number such as 027, at most 777";
	return settings_id(text) ? NULL
	                         : "is no user or group: a number up to "
	                           "4294967294, or a name";
}

const char *
form_fault(enum row_form form, const char *text)
{
	switch (form) {
	case FORM_NAME:
		return form_name(text);
	case FORM_LABEL:
		return form_label(text);
	case FORM_TITLE:
		return form_title(text);
	case FORM_ENV_NAME:
		return form_env_name(text);
	case FORM_PATH:
		return form_path(text);
	case FORM_URL:
		return form_url(text);
	case FORM_SQL:
		return form_sql(text);
	case FORM_PORT:
		return form_port(text);
	case FORM_HEADER:
		return form_header(text);
	case FORM_DURATION:
	case FORM_QUANTITY:
	case FORM_RATIO:
		return form_number_like(form, text);
	case FORM_ID:
	case FORM_RLIMIT:
	case FORM_RLIMIT_BYTES:
	case FORM_CPUS:
	case FORM_UMASK:
		return form_setting(form, text);
	case FORM_PORTION:
		return form_portion(text);
	case FORM_INTERVAL:
		return form_interval(text);
	case FORM_RATE:
		return form_rate(text);
	case FORM_LIMIT:
		return text_equal(text, "off") || form_rate(text) == NULL
		           ? NULL
		           : "must be a rate such as '5 per 1s', or 'off'";
	case FORM_DATE:
		return form_date(text);
	case FORM_FINDING:
		return form_finding(text);
	case FORM_CRON:
	case FORM_ZONE:
	case FORM_ADDRESS:
	case FORM_ANY:
	case FORM_SCALAR:
	case FORM_FILE:
	case FORM_QUEUE_KIND:
	case FORM_CAPABILITY:
	case FORM_REF_QUEUE:
	case FORM_REF_SECRET:
	case FORM_REF_CONFIG:
	case FORM_REF_WORKER:
		return NULL;
	}
	UNREACHABLE("a form");
}
