/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_WORDS_H
#define REEVE_PROBES_WORDS_H

#include "base/base.h"
#include "probes/ladder.h"
#include "probes/observed.h"

/*
 * The words of verdict lines, each way: the enums of observed.h and state.h as
 * they are written into JSON. Unknown words are refused, never guessed.
 */
#define OBSERVATION_SCHEMA "reeve.observation/1"
#define SMOKE_SCHEMA       "reeve.smoke/1"
#define VANTAGE_SCHEMA     "reeve.vantage/1"

const char *know_name(enum know know); /* "exact", "at-least"… */
/* The same of a number that isn't exact, for reports; NULL: it is, or it isn't
 * known. */
const char *know_quality(enum know know);
const char *exists_name(enum queue_exists exists);

const char *holds_name(enum holds holds);

/* The numbers and the flags of a queue's state under their keys: one table for
 * whoever writes, reads or cleans them. */
struct queue_part_key {
	const char *key;
	size_t offset;
};
enum {
	QUEUE_NUMBERS = 17,
	QUEUE_FLAGS = 7
};
extern const struct queue_part_key queue_number_keys[QUEUE_NUMBERS];
extern const struct queue_part_key queue_flag_keys[QUEUE_FLAGS];
struct queue_number *queue_state_number(struct queue_state *state, size_t i);
struct queue_flag *queue_state_flag(struct queue_state *state, size_t i);

bool know_parse(const char *word, enum know *ret);
bool holds_parse(const char *word, enum holds *ret);
bool exists_parse(const char *word, enum queue_exists *ret);
bool result_parse(const char *word, enum result *ret);
bool cause_parse(const char *word, enum cause *ret);
bool step_parse(const char *word, enum step_kind *ret);

#endif
