/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/words.h"

const char *
cause_name(enum cause cause)
{
	switch (cause) {
	case CAUSE_NONE:
		return "none";
	case CAUSE_INTERNAL:
		return "internal";
	case CAUSE_DEADLINE:
		return "deadline";
	case CAUSE_UNRESOLVED:
		return "unresolved";
	case CAUSE_URL:
		return "url";
	case CAUSE_DNS:
		return "dns";
	case CAUSE_REFUSED:
		return "refused";
	case CAUSE_UNREACHABLE:
		return "unreachable";
	case CAUSE_SILENT:
		return "silent";
	case CAUSE_TLS:
		return "tls";
	case CAUSE_AUTH:
		return "auth";
	case CAUSE_PERMISSION:
		return "permission";
	case CAUSE_WRONG_DATABASE:
		return "wrong-database";
	case CAUSE_WRONG_TYPE:
		return "wrong-type";
	case CAUSE_NOT_FOUND:
		return "not-found";
	case CAUSE_MISMATCH:
		return "mismatch";
	case CAUSE_UNAVAILABLE:
		return "unavailable";
	}
	UNREACHABLE("cause");
}

const char *
know_name(enum know know)
{
	switch (know) {
	case KNOW_UNKNOWN:
		return "unknown";
	case KNOW_EXACT:
		return "exact";
	case KNOW_AT_LEAST:
		return "at-least";
	case KNOW_ESTIMATE:
		return "estimate";
	case KNOW_NOT_APPLICABLE:
		return "not-applicable";
	}
	UNREACHABLE("know");
}

const char *
know_quality(enum know know)
{
	return know == KNOW_UNKNOWN || know == KNOW_EXACT ? NULL
	                                                  : know_name(know);
}

const char *
exists_name(enum queue_exists exists)
{
	switch (exists) {
	case EXISTS_UNKNOWN:
		return "unknown";
	case EXISTS_NO:
		return "no";
	case EXISTS_YES:
		return "yes";
	case EXISTS_EMPTY_OR_NOT:
		return "empty-or-not";
	}
	UNREACHABLE("exists");
}

const char *
holds_name(enum holds holds)
{
	switch (holds) {
	case HOLDS_UNKNOWN:
		return "unknown";
	case HOLDS_NO:
		return "no";
	case HOLDS_YES:
		return "yes";
	}
	UNREACHABLE("holds");
}

#define KEY(member)                                           \
	{                                                     \
#member, offsetof(struct queue_state, member) \
	}
const struct queue_part_key queue_number_keys[QUEUE_NUMBERS] = {
    KEY(waiting),
    KEY(active),
    KEY(delayed),
    KEY(failed),
    KEY(dead),
    KEY(completed),
    KEY(oldest_ms),
    KEY(lease_expired),
    KEY(lease_missing),
    KEY(attempts_max),
    KEY(consumers),
    KEY(attempts_limit),
    KEY(lease_ms),
    KEY(capacity),
    KEY(payload_max),
    KEY(consumer_age_ms),
    KEY(expired),
};
const struct queue_part_key queue_flag_keys[QUEUE_FLAGS] = {
    KEY(read_only),
    KEY(held),
    KEY(evicts),
    KEY(bound),
    KEY(dead_kept),
    KEY(backs_off),
    KEY(stuck),
};
#undef KEY

struct queue_number *
queue_state_number(struct queue_state *state, size_t i)
{
	return (void *)((char *)state + queue_number_keys[i].offset);
}

struct queue_flag *
queue_state_flag(struct queue_state *state, size_t i)
{
	return (void *)((char *)state + queue_flag_keys[i].offset);
}

/* Each enum is dense from 0 to its last word, so that its own name function is
 * the only table. */
bool
know_parse(const char *word, enum know *ret)
{
	for (int i = KNOW_UNKNOWN; i <= KNOW_NOT_APPLICABLE; i++)
		if (text_equal(word, know_name((enum know)i))) {
			*ret = (enum know)i;
			return true;
		}
	return false;
}

bool
holds_parse(const char *word, enum holds *ret)
{
	for (int i = HOLDS_UNKNOWN; i <= HOLDS_YES; i++)
		if (text_equal(word, holds_name((enum holds)i))) {
			*ret = (enum holds)i;
			return true;
		}
	return false;
}

bool
exists_parse(const char *word, enum queue_exists *ret)
{
	for (int i = EXISTS_UNKNOWN; i <= EXISTS_EMPTY_OR_NOT; i++)
		if (text_equal(word, exists_name((enum queue_exists)i))) {
			*ret = (enum queue_exists)i;
			return true;
		}
	return false;
}

bool
result_parse(const char *word, enum result *ret)
{
	for (int i = RESULT_UNKNOWN; i <= RESULT_WAIVED; i++)
		if (text_equal(word, result_name((enum result)i))) {
			*ret = (enum result)i;
			return true;
		}
	return false;
}

bool
cause_parse(const char *word, enum cause *ret)
{
	for (int i = CAUSE_NONE; i <= CAUSE_UNAVAILABLE; i++)
		if (text_equal(word, cause_name((enum cause)i))) {
			*ret = (enum cause)i;
			return true;
		}
	return false;
}

bool
step_parse(const char *word, enum step_kind *ret)
{
	for (int i = STEP_DNS; i <= STEP_QUERY; i++)
		if (text_equal(word, step_name((enum step_kind)i))) {
			*ret = (enum step_kind)i;
			return true;
		}
	return false;
}
