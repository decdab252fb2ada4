/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <openssl/evp.h>

#include "base/text.h"
#include "base/url.h"
#include "manifests/inputs.h"
#include "manifests/raw.h"
#include "manifests/resolve.h"
#include "manifests/validate.h"

enum {
	SCRATCH_MAX = 64 * 1024 * 1024 /* the document's tree */
};

/* --- for all of resolve_*.c --- */

struct place
resolve_place(const struct resolve *r, const struct node *node)
{
	return (struct place){r->declared->file, node->line, node->column};
}

struct place
resolve_key_place(const struct resolve *r, const struct node *node)
{
	return resolve_place(r, node->key == NULL ? node : node->key);
}

int64_t
resolve_duration(const char *text, const char *otherwise)
{
	int64_t ms = -1;

	text = text == NULL ? otherwise : text;
	if (text != NULL)
		(void)!text_duration_ms(text, &ms, NULL);
	return ms;
}

int64_t
resolve_int(const int64_t *value, const char *otherwise)
{
	int64_t number = -1;

	if (value != NULL)
		return *value;
	if (otherwise != NULL)
		(void)!text_i64(otherwise, INT64_MIN, INT64_MAX, &number, NULL);
	return number;
}

const char *const *
resolve_texts(struct resolve *r, char *const *texts, unsigned count)
{
	const char **list =
	    arena_array(r->arena, (size_t)count + 1, sizeof(*list));

	for (unsigned i = 0; i < count; i++)
		list[i] = arena_text(r->arena, texts[i]);
	return list;
}

/* --- secrets and configs --- */

const char *
resolve_beside(const struct resolve *r, const char *path)
{
	const char *slash = strrchr(r->declared->file, '/');

	if (path == NULL || path[0] == '/' || slash == NULL)
		return path;
	return arena_format(r->arena, "%.*s/%s",
	    (int)(slash - r->declared->file), r->declared->file, path);
}

/* The override of a secret's place, or NULL: what follows "NAME=". */
static const char *
override_of(const struct declared_options *options, const char *name)
{
	const char *const *it = options->secret_overrides;
	size_t len = strlen(name);

	for (; it != NULL && *it != NULL; it++) {
		if (strncmp(*it, name, len) == 0 && (*it)[len] == '=')
			return *it + len + 1;
	}
	return NULL;
}

static int
check_overrides(const struct manifest_manifest *raw,
    const struct declared_options *options, struct err *err)
{
	const char *const *it = options->secret_overrides;

	for (; it != NULL && *it != NULL; it++) {
		const char *equals = strchr(*it, '=');
		unsigned i = 0;
		if (equals == NULL || equals == *it ||
		    (!text_starts(equals + 1, "dir:") &&
		        !text_starts(equals + 1, "env:")) ||
		    equals[5] == '\0')
			return err_set(err, ERR_INPUT,
			    "--secret '%.100s' is not NAME=dir:PATH or "
			    "NAME=env:PREFIX",
			    *it);
		size_t len = (size_t)(equals - *it);
		while (i < raw->secrets_count &&
		       (strncmp(raw->secrets[i].name, *it, len) != 0 ||
		           raw->secrets[i].name[len] != '\0'))
			i++;
		if (i == raw->secrets_count)
			return err_set(err, ERR_INPUT,
			    "--secret '%.*s': no such secret is declared",
			    (int)MIN(len, 100), *it);
	}
	return 0;
}

static void
read_secret(struct resolve *r, const struct source_reader *reader,
    const struct manifest_secret *raw, struct source *source)
{
	const char *override = override_of(r->options, raw->name);
	struct source_from from = {.dir = resolve_beside(r, raw->dir),
	    .env_file = resolve_beside(r, raw->env_file)};

	if (raw->command_count > 0)
		from.command =
		    resolve_texts(r, raw->command, raw->command_count);
	if (override != NULL)
		from = (struct source_from){0};
	if (override != NULL && text_starts(override, "dir:"))
		from.dir = override + 4;
	else if (override != NULL)
		from.env_prefix = override + 4;
	source_read(reader, &from, source);
}

static void
resolve_sources(struct resolve *r)
{
	const struct manifest_manifest *raw = r->raw;
	struct declared *declared = r->declared;
	struct source_reader reader = {r->arena, r->redactor, r->options};
	const struct node *node = node_items(node_get(r->root, "secrets"));
	size_t count = (size_t)raw->secrets_count + raw->configs_count;

	declared->nsources = count;
	declared->sources =
	    arena_array(r->arena, count, sizeof(*declared->sources));
	r->sources = arena_array(r->arena, count, sizeof(*r->sources));
	for (size_t i = 0; i < count; i++) {
		struct declared_source *to = &declared->sources[i];
		bool secret = i < raw->secrets_count;
		size_t j = secret ? i : i - raw->secrets_count;
		if (i == raw->secrets_count)
			node = node_items(node_get(r->root, "configs"));
		to->secret = secret;
		to->name = arena_text(r->arena,
		    secret ? raw->secrets[j].name : raw->configs[j].name);
		to->place = resolve_place(r, node);
		r->sources[i].declared = to;
		struct source_from from = {0};
		if (!secret) {
			from.dir = resolve_beside(r, raw->configs[j].dir);
			from.env_file =
			    resolve_beside(r, raw->configs[j].env_file);
			from.data = node_get(node, "data");
			source_read(&reader, &from, &r->sources[i]);
		} else {
			read_secret(
			    r, &reader, &raw->secrets[j], &r->sources[i]);
		}
		node = node->next;
	}
}

/* --- digest --- */

static void
digest_text(EVP_MD_CTX *md, char kind, const char *text, size_t len)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%c%zu:", kind, len);

	(void)EVP_DigestUpdate(md, head, (size_t)n);
	(void)EVP_DigestUpdate(md, text, len);
}

/* Keys and values in order, comments and layout aside. A URL's password, the
 * one secret that people write into a manifest, is left out. */
static void
digest_node(EVP_MD_CTX *md, struct arena *scratch, const struct node *node)
{
	if (node->key != NULL)
		digest_text(md, 'k', node->key->text, node->key->len);
	if (node->kind == NODE_SCALAR) {
		const char *text = node->text;
		if (strstr(text, "://") != NULL && strchr(text, '@') != NULL)
			text = url_redacted(scratch, text);
		digest_text(md, 's', text, strlen(text));
		return;
	}
	digest_text(md, node->kind == NODE_MAPPING ? 'm' : 'l', "", 0);
	for (const struct node *it = node->first; it != NULL; it = it->next)
		digest_node(md, scratch, it);
	digest_text(md, 'e', "", 0);
}

static int
take_digest(struct declared *declared, struct arena *scratch,
    const struct node *root, struct err *err)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(md);
		return err_set(err, ERR_SYSTEM, "SHA-256 is not available");
	}
	digest_node(md, scratch, root);
	int rc = EVP_DigestFinal_ex(md, bytes, &len);
	EVP_MD_CTX_free(md);
	if (rc != 1 || len != 32)
		return err_set(err, ERR_SYSTEM, "SHA-256 failed");
	(void)text_hex(bytes, len, declared->digest);
	return 0;
}

/* --- loading --- */

static void
resolve_all(struct resolve *r)
{
	resolve_sources(r);
	resolve_top_env(r);
	resolve_workers(r); /* and the queues */
	resolve_producers(r);
	resolve_checks(r);
	resolve_smokes(r);
	resolve_alerts(r);
	resolve_waivers(r);
	resolve_supervisor(r);
}

struct loading {
	const struct declared_options *options;
	struct arena *arena, scratch;
	struct redactor *redactor;
	struct complaints complaints;
	struct buffer text;
};

static int
load_accepted(struct loading *l, const struct node *root,
    const struct validation *validation, struct declared **ret, struct err *err)
{
	struct manifest_manifest *raw = NULL;
	struct declared *declared = arena_alloc(l->arena, sizeof(*declared));

	if (raw_load(l->text.data, l->text.len, &raw, err) == -1) {
		/* the validator let through what libcyaml doesn't take */
		complain_at(&l->complaints, 1, 1, "libcyaml: %s", err->text);
		return -1;
	}
	struct resolve r = {.arena = l->arena,
	    .redactor = l->redactor,
	    .options = l->options,
	    .complaints = &l->complaints,
	    .declared = declared,
	    .root = root,
	    .raw = raw};
	declared->arena = l->arena;
	declared->file = l->complaints.file;
	declared->name = arena_text(l->arena, raw->name);
	declared->inert = validation->inert;
	declared->ninert = validation->ninert;
	int rc = check_overrides(raw, l->options, err);
	if (rc == 0)
		rc = take_digest(declared, &l->scratch, root, err);
	if (rc == 0)
		resolve_all(&r);
	raw_free(raw);
	if (rc == -1 || l->complaints.count > 0)
		return -1;
	*ret = declared;
	return 0;
}

static int
load_text(struct loading *l, struct declared **ret, struct err *err)
{
	struct node *root = document_parse(
	    &l->text, DOCUMENT_STRICT, &l->scratch, &l->complaints);
	struct validation validation = {.arena = l->arena,
	    .complaints = &l->complaints,
	    .root = root,
	    .environ = l->options->environ};

	if (root == NULL)
		return -1;
	manifest_validate(&validation);
	if (l->complaints.count > 0)
		return -1;
	return load_accepted(l, root, &validation, ret, err);
}

/* From the disk, or from what another process has read. */
static int
read_text(struct loading *l, const char *path, struct err *err)
{
	const struct inputs *inputs = l->options->inputs;
	struct buffer *record = l->options->record;

	if (inputs == NULL) {
		int rc = document_file(path, &l->text, err);
		if (record != NULL && rc == 0)
			inputs_put_text(record, &l->text);
		else if (record != NULL)
			inputs_put_failure(record, err);
		return rc;
	}
	buffer_init(&l->text, DOCUMENT_BYTES_MAX + 1);
	if (!inputs->whole)
		return err_set(
		    err, inputs->failed.kind, "%s", inputs->failed.text);
	buffer_append(&l->text, inputs->text, inputs->len);
	return l->text.overflow
	           ? err_set(err, ERR_CAPACITY, "'%s' is too long", path)
	           : 0;
}

/* NOLINTBEGIN(readability-function-size): the contract's parameters */
int
declared_load(const char *path, const struct declared_options *options,
    struct arena *arena, struct redactor *redactor, struct declared **ret,
    struct manifest_errors *errors, struct err *err)
{
	static const struct declared_options none = {0};
	struct loading l = {.options = options == NULL ? &none : options,
	    .arena = arena,
	    .redactor = redactor};

	*errors = (struct manifest_errors){0};
	complaints_init(&l.complaints, arena, arena_text(arena, path));
	int rc = read_text(&l, path, err);
	if (rc == 0) {
		arena_init(&l.scratch, SCRATCH_MAX);
		rc = load_text(&l, ret, err);
		arena_wipe(&l.scratch);
		if (complaints_done(&l.complaints, errors) == -1)
			rc = err_set(err, ERR_INPUT, "%zu error%s in '%s'",
			    errors->count, errors->count == 1 ? "" : "s", path);
	}
	buffer_wipe(&l.text);
	return rc;
}

/* NOLINTEND(readability-function-size) */

/* --- looking at it --- */

const struct declared_queue *
declared_queue_find(const struct declared *declared, const char *name)
{
	for (size_t i = 0; i < declared->nqueues; i++) {
		if (text_equal(declared->queues[i].name, name))
			return &declared->queues[i];
	}
	return NULL;
}

const struct declared_worker *
declared_worker_find(const struct declared *declared, const char *name)
{
	for (size_t i = 0; i < declared->nworkers; i++) {
		if (text_equal(declared->workers[i].name, name))
			return &declared->workers[i];
	}
	return NULL;
}

const struct declared_env *
declared_env_find(const struct declared_environment *env, const char *name)
{
	for (size_t i = env->count; i > 0; i--) {
		if (!env->entries[i - 1]->shadowed &&
		    text_equal(env->entries[i - 1]->name, name))
			return env->entries[i - 1];
	}
	return NULL;
}
