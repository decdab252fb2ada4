/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "manifests/inputs.h"
#include "tests/unit/manifest_try.h"

/*
 * The manifest is read by one process and understood by another: what comes of
 * it is the same, and nothing of it is opened a second time.
 */
static const char TEXT[] =
    TRY_HEAD "secrets:\n"
             "  - {name: s, dir: secret}\n"
             "  - {name: c, command: [/bin/echo, \"MADE=by a command\"]}\n"
             "  - {name: gone, envFile: nowhere.env}\n"
             "configs: [{name: d, data: {PLAIN: x}}]\n"
             "workers:\n"
             "  - name: w\n"
             "    command: [/w]\n"
             "    inheritEnv: none\n"
             "    envFrom: [{secretRef: {name: s}}, {secretRef: {name: c}},\n"
             "      {configMapRef: {name: d}}]\n"
             "    env:\n"
             "      - {name: M, valueFrom: {secretKeyRef: {name: gone, key: "
             "K}}}\n";

/* As the child does it. */
static void
record(struct try *try, const char *text, struct buffer *out)
{
	const struct declared_options options = {.record = out};

	buffer_init(out, INPUTS_BYTES_MAX);
	inputs_begin(out);
	try_load(try, text, &options);
	inputs_end(out);
	assert_false(out->overflow);
}

/* As the operator does it, with nothing left of what was read. */
static void
replay(struct try *try, const struct buffer *bytes)
{
	struct inputs inputs;
	struct arena arena;
	const struct declared_options options = {.inputs = &inputs};

	arena_init(&arena, INPUTS_BYTES_MAX);
	assert_int_equal(
	    inputs_decode(bytes->data, bytes->len, &arena, &inputs, &try->err),
	    0);
	try->declared = NULL;
	int rc = declared_load(try->path, &options, &try->arena, NULL,
	    &try->declared, &try->errors, &try->err);
	assert_int_equal(rc, try->declared == NULL ? -1 : 0);
	arena_wipe(&arena);
}

static const char *
value_of(const struct try *try, const char *name)
{
	const struct declared_env *entry =
	    declared_env_find(&try->declared->workers[0].env, name);

	return entry == NULL ? NULL : entry->value;
}

static void
remove_secret(const struct try *try)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/secret/A", try->dir);
	assert_int_equal(unlink(path), 0);
}

static void
what_was_read_elsewhere_comes_to_the_same_without_a_file(void **state)
{
	struct try try;
	struct buffer bytes;
	char path[128];

	(void)state;
	try_begin(&try);
	(void)snprintf(path, sizeof(path), "%s/secret", try.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	try_file(&try, "secret/A", "of a file", 9);
	record(&try, TEXT, &bytes);
	try_good(&try);
	const struct declared *before = try.declared;
	char digest[65];
	(void)snprintf(digest, sizeof(digest), "%s", before->digest);
	/* neither the manifest nor the secret is there any more */
	remove_secret(&try);
	assert_int_equal(unlink(try.path), 0);
	replay(&try, &bytes);
	try_good(&try);
	assert_string_equal(try.declared->digest, digest);
	assert_string_equal(value_of(&try, "A"), "of a file");
	assert_string_equal(value_of(&try, "MADE"), "by a command");
	assert_string_equal(value_of(&try, "PLAIN"), "x");
	assert_null(value_of(&try, "M"));
	assert_string_equal(try.declared->sources[0].keys[0], "A");
	assert_string_equal(
	    declared_env_find(&try.declared->workers[0].env, "M")->why,
	    before->sources[2].why);
	assert_string_equal(
	    try.declared->sources[2].why, before->sources[2].why);
	buffer_wipe(&bytes);
	try_end(&try);
}

static void
errors_have_their_places_on_the_other_side_too(void **state)
{
	struct try try;
	struct buffer bytes;

	(void)state;
	try_begin(&try);
	record(&try, TRY_HEAD "workers: [{name: w, comand: [/w]}]\n", &bytes);
	assert_null(try.declared);
	size_t count = try.errors.count;
	assert_true(count > 0);
	replay(&try, &bytes);
	assert_null(try.declared);
	assert_int_equal(try.errors.count, count);
	assert_int_equal(try.errors.errors[0].place.line, 3);
	buffer_wipe(&bytes);
	assert_int_equal(unlink(try.path), 0);
	/* a file that isn't there is an error without a place */
	struct buffer none;
	const struct declared_options options = {.record = &none};
	buffer_init(&none, INPUTS_BYTES_MAX);
	inputs_begin(&none);
	assert_int_equal(declared_load(try.path, &options, &try.arena, NULL,
	                     &try.declared, &try.errors, &try.err),
	    -1);
	inputs_end(&none);
	replay(&try, &none);
	assert_int_equal(try.errors.count, 0);
	assert_non_null(strstr(try.err.text, "No such file"));
	buffer_wipe(&none);
	try_end(&try);
}

static void
what_is_cut_or_goes_on_is_refused(void **state)
{
	struct try try;
	struct buffer bytes;
	struct inputs inputs;

	(void)state;
	try_begin(&try);
	record(&try, TEXT, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		struct err err = ERR_INIT;
		assert_int_equal(
		    inputs_decode(bytes.data, len, &try.arena, &inputs, &err),
		    -1);
		assert_int_equal(err.kind, ERR_INPUT);
	}
	buffer_append(&bytes, "S", 1);
	assert_int_equal(
	    inputs_decode(bytes.data, bytes.len, &try.arena, &inputs, &try.err),
	    -1);
	buffer_wipe(&bytes);
	try_end(&try);
}

static void
a_source_that_was_not_read_is_unreadable(void **state)
{
	struct try try;
	struct buffer bytes;

	(void)state;
	try_begin(&try);
	record(&try, TRY_HEAD "workers: [{name: w, command: [/w]}]\n", &bytes);
	/* as if the text were another than what the sources are of */
	buffer_clear(&bytes);
	struct buffer text;
	buffer_init(&text, sizeof(TEXT));
	buffer_text(&text, TEXT);
	inputs_begin(&bytes);
	inputs_put_text(&bytes, &text);
	inputs_end(&bytes);
	replay(&try, &bytes);
	try_good(&try);
	assert_false(try.declared->sources[0].readable);
	assert_null(value_of(&try, "A"));
	buffer_fini(&text);
	buffer_wipe(&bytes);
	try_end(&try);
}

static void
all_commands_share_one_deadline(void **state)
{
	struct try try;
	const struct declared_options options = {
	    .deadline_ms = clock_after(clock_ms(), -1)};

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "secrets: [{name: c, command: [/bin/sleep, \"1000\"]}]\n"
	             "workers: [{name: w, command: [/w]}]\n",
	    &options);
	try_good(&try);
	assert_false(try.declared->sources[0].readable);
	try_end(&try);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        what_was_read_elsewhere_comes_to_the_same_without_a_file),
	    cmocka_unit_test(errors_have_their_places_on_the_other_side_too),
	    cmocka_unit_test(what_is_cut_or_goes_on_is_refused),
	    cmocka_unit_test(a_source_that_was_not_read_is_unreadable),
	    cmocka_unit_test(all_commands_share_one_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
