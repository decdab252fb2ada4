/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/secret.h"
#include "base/text.h"
#include "checks/engine.h"
#include "checks/explain.h"
#include "checks/parity.h"
#include "checks/refused.h"
#include "manifests/declared.h"
#include "manifests/foreign.h"
#include "probes/observed.h"

/*
 * Every finding has a case in which it fires and one in which it must not:
 * tests/corpus/RVnnn-fires and RVnnn-quiet. A case is a directory:
 *   reeve.yaml        the declaration; other *.yaml and *.yml are other
 *                     descriptions of the same system
 *   secrets/          values that no report may show
 *   observed.jsonl    what was observed; absent: nothing
 *   expected          lines: "stages check smoke …", "exit N", and then every
 *                     finding that fails, "RVnnn role subject", and those that
 *                     must have another result, "RVnnn passed subject"
 *   says              optional: lines, each of which the report as text holds
 * Cases of another name hold several descriptions against each other (lint-…),
 * or are of what is not known; each directory with `expected` is a case.
 * A failed finding that isn't listed fails the case, and the other way round.
 */

enum {
	ARENA_MAX = 256 << 20,
	FILE_MAX = 4 << 20,
	PATH_SIZE = 512,
	CASES_MAX = 512
};

static const char *const CORPUS = "tests/corpus";
static char root[PATH_SIZE];
/* 2026-11-22T02:18:00Z, so that waivers in the cases don't lapse by waiting. */
static const int64_t NOW_MS = 1795313880000;

struct run {
	struct arena arena;
	struct redactor *redactor;
	struct declared *declared;
	struct observed observed;
	struct report report;
	unsigned stages;
	int exit;
	const char *expected;
};

static char *
read_text(struct arena *arena, const char *path)
{
	struct buffer text;
	struct err err = ERR_INIT;

	buffer_init(&text, FILE_MAX);
	if (buffer_read_file(&text, path, &err) == -1)
		fail_msg("%s", err.text);
	char *copy = arena_bytes(arena, text.data, text.len);

	buffer_fini(&text);
	return copy;
}

static bool
exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static unsigned
stage_of(const char *word, size_t len)
{
	static const struct {
		const char *word;
		unsigned stage;
	} words[] = {
	    {"lint", STAGE_LINT},
	    {"check", STAGE_CHECK},
	    {"smoke", STAGE_SMOKE},
	    {"gate", STAGE_GATE},
	    {"diagnose", STAGE_DIAGNOSE},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].word) == len &&
		    strncmp(words[i].word, word, len) == 0)
			return words[i].stage;
	fail_msg("no stage '%.*s'", (int)len, word);
	return 0;
}

static void
read_expected(struct run *run, const char *path)
{
	char line[PATH_SIZE];
	FILE *file = fopen(path, "re");
	const char *rest = "";

	if (file == NULL)
		fail_msg("no '%s'", path);
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (text_starts(line, "stages ")) {
			for (const char *p = line + 7; *p != '\0';) {
				size_t len = strcspn(p, " ");

				run->stages |= stage_of(p, len);
				p += len + (p[len] == ' ');
			}
		} else if (text_starts(line, "exit ")) {
			run->exit = (int)strtol(line + 5, NULL, 10);
		} else if (line[0] != '\0' && line[0] != '#') {
			rest = arena_format(&run->arena, "%s%s\n", rest, line);
		}
	}
	(void)fclose(file);
	run->expected = rest;
}

static void
load(struct run *run)
{
	static const char *const no_environment[] = {NULL};
	const struct declared_options options = {.environ = no_environment};
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;

	if (!exists("reeve.yaml"))
		return;
	if (declared_load("reeve.yaml", &options, &run->arena, run->redactor,
	        &run->declared, &errors, &err) == 0)
		return;
	if (text_starts(run->expected, "RV100 ")) {
		report_refused(
		    &run->report, run->redactor, "reeve.yaml", &errors, &err);
		return;
	}
	for (size_t i = 0; i < errors.count; i++)
		print_error("reeve.yaml:%d:%d: %s\n",
		    errors.errors[i].place.line, errors.errors[i].place.column,
		    errors.errors[i].text);
	fail_msg("the case's manifest does not load: %s", err.text);
}

static void
observe(struct run *run)
{
	struct err err = ERR_INIT;

	observed_init(&run->observed, &run->arena);
	if (!exists("observed.jsonl"))
		return;
	char *text = read_text(&run->arena, "observed.jsonl");

	for (char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");

		if (len > 0 &&
		    observed_add_line(&run->observed, line, len, &err) == -1)
			fail_msg("observed.jsonl: %s", err.text);
		line += len + (line[len] == '\n');
	}
}

static void
hold_against_others(struct run *run)
{
	DIR *dir = opendir(".");
	struct foreign foreign = {0};
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;
	bool any = false;

	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		if ((!text_ends(e->d_name, ".yaml") &&
		        !text_ends(e->d_name, ".yml")) ||
		    strcmp(e->d_name, "reeve.yaml") == 0)
			continue;
		if (foreign_read(arena_text(&run->arena, e->d_name), &foreign,
		        &run->arena, run->redactor, &errors, &err) == -1)
			fail_msg("%s: %s", e->d_name, err.text);
		any = true;
	}
	(void)closedir(dir);
	if (!any)
		return;
	foreign_resolve(&foreign, &run->arena, run->redactor);
	parity_run(run->declared, &foreign, &run->report);
}

/* --- what came out ----------------------------------------------------------
 */

static const char *
finding_line(struct run *run, const struct finding *f)
{
	return arena_format(&run->arena, "%s %s %s\n", f->id,
	    f->result == RESULT_FAILED ? role_name(f->role)
	                               : result_name(f->result),
	    f->subject);
}

static bool
is_line_of(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = text; p != NULL && *p != '\0';
	     p = strchr(p, '\n') == NULL ? NULL : strchr(p, '\n') + 1)
		if (strncmp(p, line, len) == 0)
			return true;
	return false;
}

/* Every expected line came, and every failed finding was expected. */
static bool
compare(struct run *run, const char *name)
{
	const char *all = "", *failed = "";
	bool same = true;

	for (size_t i = 0; i < run->report.nfindings; i++) {
		const struct finding *f = &run->report.findings[i]->finding;
		const char *line = finding_line(run, f);

		all = arena_format(&run->arena, "%s%s", all, line);
		if (f->result != RESULT_FAILED)
			continue;
		failed = arena_format(&run->arena, "%s%s", failed, line);
		if (!is_line_of(run->expected, line)) {
			print_error("%s: not expected: %s", name, line);
			same = false;
		}
	}
	for (const char *p = run->expected; *p != '\0';) {
		size_t len = strcspn(p, "\n") + 1;
		const char *line =
		    arena_format(&run->arena, "%.*s", (int)len, p);

		if (!is_line_of(all, line)) {
			print_error("%s: expected, not there: %s", name, line);
			same = false;
		}
		p += len;
	}
	if (run->report.exit != run->exit) {
		print_error("%s: exit %d, expected %d\n", name,
		    run->report.exit, run->exit);
		same = false;
	}
	if (getenv("REEVE_CORPUS_PRINT") != NULL)
		print_message("== %s exit %d\n%s", name, run->report.exit, all);
	return same;
}

/* The case is about its own finding: it fires, or it was judged and didn't. */
static bool
is_about(const struct run *run, const char *name)
{
	char id[16];
	bool fires = text_ends(name, "-fires");
	bool judged = false, failed = false;

	if (!text_starts(name, "RV"))
		return true;
	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(name, "-"), name);
	for (size_t i = 0; i < run->report.nfindings; i++) {
		const struct finding *f = &run->report.findings[i]->finding;

		if (strcmp(f->id, id) != 0)
			continue;
		judged = true;
		failed = failed || f->result == RESULT_FAILED;
	}
	/* Without an empty run there is no finding about it, nor without a
	 * refused manifest. */
	if (!judged && !fires)
		judged = strcmp(id, "RV911") == 0 || strcmp(id, "RV100") == 0;
	if (fires != failed || !judged)
		print_error("%s: %s %s\n", name, id,
		    !judged  ? "was not judged"
		    : failed ? "fires"
		             : "does not fire");
	return fires == failed && judged;
}

static bool
shows_secret(struct run *run, const char *text, const char *format)
{
	DIR *dir = opendir("secrets");
	bool shown = false;

	if (dir == NULL)
		return false;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		const char *value = read_text(&run->arena,
		    arena_format(&run->arena, "secrets/%s", e->d_name));

		if (strlen(value) >= 6 && strstr(text, value) != NULL) {
			print_error("%s shows secret %s\n", format, e->d_name);
			shown = true;
		}
	}
	(void)closedir(dir);
	/* literal passwords of the cases */
	return shown || strstr(text, "graphrag123") != NULL;
}

/* What people are told: the words, and the numbers in them. */
static bool
says(struct run *run, const char *name, const char *report)
{
	bool all = true;

	if (!exists("says"))
		return true;
	for (const char *p = read_text(&run->arena, "says"); *p != '\0';) {
		size_t len = strcspn(p, "\n");
		const char *line =
		    arena_format(&run->arena, "%.*s", (int)len, p);

		if (strstr(report, line) == NULL) {
			print_error("%s: doesn't say: %s\n", name, line);
			all = false;
		}
		p += len + (p[len] == '\n');
	}
	return all;
}

static bool
write_reports(struct run *run, const char *name)
{
	static const struct report_style styles[] = {
	    {.verbose = true},
	    {.color = true},
	};
	bool ok = true;

	for (const struct report_writer *w = report_writers; w->format != NULL;
	     w++)
		for (size_t s = 0; s < ARRAY_LEN(styles); s++) {
			struct buffer out;

			buffer_init(&out, FILE_MAX);
			w->write(&run->report, &styles[s], &out);
			if (out.overflow || out.len == 0 ||
			    shows_secret(run, out.data, w->format)) {
				print_error("%s: report %s\n", name, w->format);
				ok = false;
			}
			if (strcmp(w->format, "text") == 0 && s == 0)
				ok &= says(run, name, out.data);
			if (getenv("REEVE_CORPUS_TEXT") != NULL && s == 0)
				print_message("%s", out.data);
			buffer_fini(&out);
		}
	return ok;
}

static bool
run_case(const char *name)
{
	struct run run = {.exit = EXIT_PASSED};
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/%s", CORPUS, name);
	assert_int_equal(chdir(path), 0);
	arena_init(&run.arena, ARENA_MAX);
	run.redactor = redactor_new();
	report_init(&run.report, &run.arena, "check", "test");
	run.report.started_wall_ms = NOW_MS;
	read_expected(&run, "expected");
	load(&run);
	observe(&run);
	if (run.declared != NULL)
		checks_run(
		    run.declared, &run.observed, run.stages, &run.report);
	hold_against_others(&run);
	report_conclude(&run.report);
	bool ok = compare(&run, name);

	ok &= is_about(&run, name);
	ok &= write_reports(&run, name);
	redactor_free(run.redactor);
	arena_fini(&run.arena);
	assert_int_equal(chdir(root), 0);
	return ok;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
is_case(const char *name)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/%s/expected", CORPUS, name);
	return name[0] != '.' && access(path, R_OK) == 0;
}

static void
every_case_of_the_corpus_comes_out_as_it_says(void **state)
{
	static char *names[CASES_MAX];
	const char *only = getenv("REEVE_CORPUS_CASE");
	size_t count = 0, failed = 0;
	DIR *dir = opendir(CORPUS);

	(void)state;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		if (is_case(e->d_name) &&
		    (only == NULL || strcmp(only, e->d_name) == 0)) {
			assert_true(count < CASES_MAX);
			names[count++] = strdup(e->d_name);
		}
	(void)closedir(dir);
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		failed += !run_case(names[i]);
		free(names[i]);
	}
	assert_true(count > 0);
	if (failed > 0)
		fail_msg("%zu of %zu cases", failed, count);
}

/* --- docs-sync: page and two cases for every row ----------------------------
 */

static void
every_finding_has_a_page_and_two_cases(void **state)
{
	static const char *const sections[] = {"\n## Why it matters\n",
	    "\n## How it is found\n", "\n## Example\n", "\n## Fix\n",
	    "\n## When it is wrong\n", "\n## Related\n"};
	size_t missing = 0;

	(void)state;
	assert_int_equal(chdir(root), 0);
	for (size_t i = 0; i < finding_rows_count; i++) {
		const struct finding_row *row = &finding_rows[i];
		const char *page = explain_page_find(row->number);
		char title[PATH_SIZE], path[PATH_SIZE];

		assert_non_null(page);
		(void)snprintf(
		    title, sizeof(title), "# %s %s\n", row->id, row->slug);
		if (!text_starts(page, title)) {
			print_error("%s: the page's title\n", row->id);
			missing++;
		}
		for (size_t s = 0; s < ARRAY_LEN(sections); s++)
			if (strstr(page, sections[s]) == NULL) {
				print_error("%s: the page has no '%s'\n",
				    row->id, sections[s]);
				missing++;
			}
		if (row->stages == STAGE_ALERT)
			continue; /* unit/test_operator_preset has its cases */
		(void)snprintf(
		    path, sizeof(path), "%s/%s-fires", CORPUS, row->id);
		missing += !exists(path);
		(void)snprintf(
		    path, sizeof(path), "%s/%s-quiet", CORPUS, row->id);
		missing += !exists(path);
		if (!exists(path))
			print_error("%s has not its two cases\n", row->id);
	}
	assert_int_equal(missing, 0);
}

static void
the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < finding_rows_count; i++) {
		const struct finding_row *row = &finding_rows[i];

		/* what a row needs is judged before it */
		for (const unsigned *need = row->needs; *need != 0; need++) {
			const struct finding_row *other =
			    finding_row_number(*need);

			assert_non_null(other);
			assert_true(other < row);
		}
		for (const struct row_edge *e = row->explains; e->id != 0;
		     e++) {
			assert_non_null(finding_row_number(e->id));
			assert_int_not_equal(e->guard, 0);
		}
		for (size_t k = 0; k < i; k++) {
			assert_int_not_equal(
			    finding_rows[k].number, row->number);
			assert_string_not_equal(
			    finding_rows[k].slug, row->slug);
		}
		assert_ptr_equal(finding_row_find(row->id), row);
		assert_ptr_equal(finding_row_find(row->slug), row);
	}
	assert_null(finding_row_find("RV000"));
	assert_null(finding_row_find(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_table_is_sound),
	    cmocka_unit_test(every_case_of_the_corpus_comes_out_as_it_says),
	    cmocka_unit_test(every_finding_has_a_page_and_two_cases),
	};

	if (getcwd(root, sizeof(root)) == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
