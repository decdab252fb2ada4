/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "manifests/manifest.h"
#include "manifests/table.h"

static const char intro[] =
    "# reeve.yaml\n"
    "\n"
    "*Made from `manifests/manifest.def` by `reeve schema --markdown`; "
    "`reeve schema` prints the JSON Schema for editors. Don't edit this "
    "page.*\n"
    "\n"
    "The manifest declares the whole system: workers, the queues that they "
    "drain, where their configuration comes from, what must be true, and how "
    "a canary proves that work is done. It is read strictly: an unknown key, "
    "a wrong type, an unknown name or a number with something behind it is "
    "an error with file, line and column, and all errors are shown in one "
    "run. Where Kubernetes has a name for something it is used, with the same "
    "meaning.\n"
    "\n"
    "## How it is read\n"
    "\n"
    "* One YAML document in UTF-8, at most 1 MiB, 64 levels and 100,000 "
    "values. Anchors, aliases and tags are refused.\n"
    "* Booleans are `true` and `false`, nothing else. Whole numbers are "
    "decimal, without quotes. Where text is wanted, what YAML takes for a "
    "number, a boolean or nothing must stand in quotes, as in Kubernetes: "
    "`value: \"8080\"`.\n"
    "* Durations: `500ms`, `30s`, `5m`, `1h30m`. Quantities: `512Mi`, "
    "`1.5Gi`, `250m`. Ratios: `10%` or `0.1`. Rates: `3 per 1h`.\n"
    "* Relative paths of `dir` and `envFile` lie beside the manifest.\n"
    "* A key marked **not yet** is read and checked but doesn't act; "
    "`check` and the start of `run` list those that are used.\n"
    "\n"
    "## Variables and `$(NAME)`\n"
    "\n"
    "A worker's environment is, the later winning: the supervisor's own "
    "environment (`inheritEnv` restricts it), the top-level `env`, the "
    "worker's `envFrom`, its `env`; then what `consumes` names and nothing "
    "else set. Every replica also gets `REEVE_WORKER`, `REEVE_REPLICA`, "
    "`REEVE_GENERATION` and `PORT_<NAME>` of each of its `ports`.\n"
    "\n"
    "In a `value` of `env`, `$(NAME)` is replaced exactly as Kubernetes does "
    "it: by what stands before it, in this list or in a layer below; `$$` "
    "is a plain `$`, so `$$(NAME)` is the text `$(NAME)`. A reference to "
    "itself or to a later entry is an error; one to a name that nobody "
    "declares stays as it is written and is a finding (RV122). Values of "
    "secrets and configs are never expanded.\n"
    "\n"
    "Elsewhere (queues, checks, smoke, alerts) `$(NAME)` is looked up in the "
    "top-level `env`, then in the workers' environments, then in the "
    "supervisor's own. A name that nobody declares is an error; one that "
    "has no value here, or not the same in all workers that have it, makes "
    "what needs it *unknown*. In a worker's `command` and `args` an unknown "
    "name stays as it is written, and a secret is refused: arguments can be "
    "read by everybody on the host.\n"
    "\n"
    "`$(CANARY)` is the canary's id, a random UUID, within `smoke` only. In "
    "SQL it is bound as a parameter, so it stands bare, never within quotes. "
    "Other names are put into SQL as text: quote them yourself.\n"
    "\n"
    "## Env files\n"
    "\n"
    "`envFile`, and what a secret's `command` prints, are lines `NAME=value`; "
    "`export ` before the name is ignored, and so are blank lines and lines "
    "that begin with `#`. A later line of the same name wins.\n"
    "\n"
    "* Without quotes the value is the rest of the line, blanks at both ends "
    "taken off, up to ` #` (a comment). CR LF ends a line as LF does.\n"
    "* In single quotes it is what stands there, over several lines if need "
    "be.\n"
    "* In double quotes `\\n`, `\\r`, `\\t`, `\\\"`, `\\\\` and `\\$` are "
    "replaced; any other backslash stays.\n"
    "* The quotes are not part of the value. Nothing is expanded.\n"
    "\n"
    "A line that isn't like this makes the whole file unreadable, with its "
    "number: half a configuration is worse than none. A `dir` gives the "
    "exact bytes of each file, a newline at the end included (RV127 finds "
    "it); names that begin with `..` are skipped, links are followed, and "
    "where Kubernetes' `..data` is there everything is read behind it.\n"
    "\n"
    "## Queues\n"
    "\n"
    "A queue is `kind`, `url` and the kind's own keys; or `url` alone, in the "
    "one-URL form that `reeve diagnose` and `reeve queue` take too: "
    "`redis://host:6379/0?list=jobs`, "
    "`pgtable+postgresql://host/db?table=documents&status=state`, "
    "`sqlite:///var/lib/jobs.db?queue=jobs`. In the one-URL form `deadLetter` "
    "is `dlq`; reeve's own keys are taken off before a client library sees "
    "the URL; a second `?` or a second path is an error.\n"
    "\n"
    "| kind | what it is | real name | URL | |\n"
    "|---|---|---|---|---|\n";

static void
write_cell(struct buffer *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '|')
			buffer_text(out, "\\|");
		else
			buffer_append(out, p, 1);
	}
}

static void
write_kinds(struct buffer *out)
{
	for (size_t i = 0; i < QUEUE_KINDS; i++) {
		const struct queue_kind *kind = &queue_kinds[i];
		buffer_format(out, "| `%s` | %s | `%s` |", kind->word,
		    kind->doc, kind->name_key);
		for (const char *p = kind->schemes; *p != '\0';) {
			size_t len = strcspn(p, " ");
			buffer_format(out, " `%.*s://`", (int)len, p);
			p += len + (p[len] == ' ');
		}
		buffer_format(
		    out, " | %s |\n", kind->acts ? "" : "**not yet**");
	}
	buffer_text(out, "\n## Keys\n");
}

static const char *const form_names[] = {
    [FORM_ANY] = "text",
    [FORM_SCALAR] = "text or number",
    [FORM_NAME] = "name",
    [FORM_LABEL] = "text",
    [FORM_TITLE] = "text",
    [FORM_ENV_NAME] = "variable",
    [FORM_PATH] = "absolute path",
    [FORM_FILE] = "path",
    [FORM_URL] = "URL",
    [FORM_SQL] = "SQL",
    [FORM_PORT] = "port or its name",
    [FORM_HEADER] = "text",
    [FORM_DURATION] = "duration",
    [FORM_INTERVAL] = "duration",
    [FORM_PORTION] = "number or percentage",
    [FORM_QUANTITY] = "quantity",
    [FORM_RATIO] = "ratio",
    [FORM_RATE] = "rate",
    [FORM_LIMIT] = "rate or `off`",
    [FORM_DATE] = "date",
    [FORM_CRON] = "schedule",
    [FORM_ZONE] = "time zone",
    [FORM_FINDING] = "finding",
    [FORM_QUEUE_KIND] = "kind",
    [FORM_ID] = "number or name",
    [FORM_RLIMIT] = "number, `soft:hard` or `unlimited`",
    [FORM_RLIMIT_BYTES] = "quantity, `soft:hard` or `unlimited`",
    [FORM_CPUS] = "CPUs",
    [FORM_UMASK] = "octal number",
    [FORM_ADDRESS] = "address",
    [FORM_CAPABILITY] = "capability",
    [FORM_REF_QUEUE] = "queue",
    [FORM_REF_SECRET] = "secret",
    [FORM_REF_CONFIG] = "config",
    [FORM_REF_WORKER] = "worker",
};

static_assert(ARRAY_LEN(form_names) == ROW_FORMS, "a name for each");

static void
write_type(struct buffer *out, const struct row *row)
{
	switch (row->type) {
	case ROW_TEXT:
		buffer_text(out, form_names[row->form]);
		return;
	case ROW_WORD:
		for (size_t i = 0; row->words[i] != NULL; i++)
			buffer_format(
			    out, "%s`%s`", i > 0 ? ", " : "", row->words[i]);
		return;
	case ROW_INT:
		if ((row->flags & F_EXIT) != 0)
			buffer_text(out, "0 or 143");
		else
			buffer_format(
			    out, "%" PRId64 " to %" PRId64, row->min, row->max);
		return;
	case ROW_FLAG:
		buffer_text(out, "true or false");
		return;
	case ROW_TEXTS:
		buffer_format(out, "list of %s", form_names[row->form]);
		return;
	case ROW_INTS:
		buffer_format(
		    out, "list of %" PRId64 " to %" PRId64, row->min, row->max);
		return;
	case ROW_MAP:
	case ROW_LIST:
		buffer_format(out, "%s%s[%s](#%s)",
		    row->type == ROW_LIST ? "list of " : "",
		    (row->flags & F_SHORT) != 0 ? "names or " : "",
		    mapping_of(row->sub)->name, mapping_of(row->sub)->name);
		return;
	case ROW_PAIRS:
		buffer_text(out, "names and texts");
		return;
	case ROW_EMPTY:
		buffer_text(out, "`{}`");
		return;
	case ROW_NAMES:
		buffer_text(out, "`none` or list of variable");
		return;
	}
	UNREACHABLE("a type of row");
}

static void
write_need(struct buffer *out, const struct row *row)
{
	if (row->need == NEED_REQUIRED)
		buffer_text(out, "required");
	else if (row->need == NEED_ONE_OF)
		buffer_text(out, "one of these");
	else if (row->need == NEED_SOME_OF)
		buffer_text(out, "some of these");
	else if (row->dflt != NULL)
		buffer_format(out, "`%s`", row->dflt);
}

/* Which kinds a queue's key belongs to. */
static void
write_owners(struct buffer *out, const struct row *row)
{
	size_t count = 0;

	for (size_t i = 0; i < QUEUE_KINDS; i++)
		count += (row->kinds >> i) & 1;
	if (count >= QUEUE_KINDS - 1)
		return;
	buffer_text(out, " (");
	for (size_t i = 0, n = 0; i < QUEUE_KINDS; i++) {
		if (((row->kinds >> i) & 1) == 0)
			continue;
		buffer_format(out, "%s%s%s", n++ > 0 ? ", " : "",
		    queue_kinds[i].word,
		    ((row->needed_by >> i) & 1) != 0 ? ": needed" : "");
	}
	buffer_text(out, ")");
}

static void
write_mapping(struct buffer *out, const struct mapping *mapping)
{
	buffer_format(out, "\n### <a id=\"%s\"></a>%s\n\n%s\n\n", mapping->name,
	    mapping->title, mapping->doc);
	buffer_text(out, "| key | is | default | what |\n|---|---|---|---|\n");
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		buffer_format(out, "| `%s` | ", row->key);
		write_type(out, row);
		buffer_text(out, " | ");
		write_need(out, row);
		buffer_text(out, " | ");
		write_cell(out, row->doc);
		if (row->kinds != 0)
			write_owners(out, row);
		if ((row->flags & F_INERT) != 0)
			buffer_text(out, " **not yet**");
		buffer_text(out, " |\n");
	}
}

/* A mapping, then those that it uses for the first time. */
static void
write_from(struct buffer *out, enum mapping_id id, bool seen[MAPPINGS])
{
	const struct mapping *mapping = mapping_of(id);

	if (seen[id])
		return;
	seen[id] = true;
	write_mapping(out, mapping);
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		if (row->type == ROW_MAP || row->type == ROW_LIST)
			write_from(out, row->sub, seen);
	}
}

void
manifest_docs_write(struct buffer *out)
{
	bool seen[MAPPINGS] = {false};

	buffer_text(out, intro);
	write_kinds(out);
	write_from(out, MAPPING_manifest, seen);
}
