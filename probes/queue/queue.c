/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"
#include "probes/queue/owner.h"
#include "probes/queue/queue.h"

enum {
	HANDLE_BYTES_MAX = 4 << 20, /* of one open queue's own texts */
	URL_TEXT_MAX = 8192,
	OPTIONS_MAX = 64,
	PASSWORD_MAX = 4096,
	PASSERS_MAX = 4,
	SCHEME_SHOWN_MAX = 40,
};

static const struct queue_driver *const drivers[] = {
    &queue_redis_list,
    &queue_redis_stream,
    &queue_bullmq,
    &queue_bull,
    &queue_bee,
    &queue_postgres_table,
    &queue_pgboss,
    &queue_graphile,
    &queue_river,
    &queue_oban,
    &queue_solidqueue,
    &queue_pgmq,
    &queue_que,
    &queue_procrastinate,
    &queue_goodjob,
    &queue_delayedjob,
    &queue_mysql_table,
    &queue_mssql_table,

    &queue_sqlite_table,
    &queue_sqlite_embedded,
    &queue_celery,
    &queue_resque,
    &queue_rq,
    &queue_sidekiq,
    &queue_pubsub,
    &queue_servicebus,
    &queue_sqs,
    &queue_nats,
    &queue_amqp,
    &queue_beanstalk,
    &queue_kafka,
};

const struct queue_driver *const *
queue_drivers(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(drivers);
	return drivers;
}

const struct queue_driver *
queue_driver_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (text_equal(drivers[i]->kind, kind))
			return drivers[i];
	}
	return NULL;
}

bool
queue_observes_together(const char *kind)
{
	const struct queue_driver *driver = queue_driver_find(kind);

	return driver != NULL && driver->observe_many != NULL;
}

const char *
queue_place_name(enum queue_place place)
{
	switch (place) {
	case PLACE_UNKNOWN:
		return "";
	case PLACE_VISIBLE:
		return "visible";
	case PLACE_TAKEN:
		return "taken";
	case PLACE_GONE:
		return "gone";
	case PLACE_DEAD:
		return "dead";
	}
	UNREACHABLE("queue_place");
}

static bool
in_list(const char *text, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (text_equal(text, *list))
			return true;
	}
	return false;
}

static size_t
list_len(const char *const *list)
{
	size_t count = 0;

	while (list[count] != NULL)
		count++;
	return count;
}

/* The driver whose one-URL scheme `text` begins with; its length without
 * "://" goes to `ret_len`. */
static const struct queue_driver *
driver_of_url(const char *text, size_t *ret_len)
{
	const char *colon = strstr(text, "://");

	if (colon == NULL)
		return NULL;
	size_t len = (size_t)(colon - text);

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		for (const char *const *s = drivers[i]->schemes; *s != NULL;
		     s++) {
			if (strlen(*s) == len && memcmp(*s, text, len) == 0) {
				*ret_len = len;
				return drivers[i];
			}
		}
	}
	return NULL;
}

static int
unknown_scheme(struct arena *arena, const char *url, struct err *err)
{
	const char *words[ARRAY_LEN(drivers)];
	const char *kinds = "";
	const char *word =
	    arena_bytes(arena, url, MIN(strcspn(url, "+:"), SCHEME_SHOWN_MAX));

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		words[i] = drivers[i]->kind;
		kinds = arena_format(
		    arena, "%s%s%s", kinds, i == 0 ? "" : ", ", words[i]);
	}
	const char *near = text_nearest(word, words, ARRAY_LEN(words));
	if (near != NULL && !text_equal(near, word))
		return err_set(err, ERR_INPUT,
		    "'%s' is no kind of queue; did you mean '%s'?", word, near);
	return err_set(err, ERR_INPUT,
	    "'%.40s' is not the URL of a queue: that begins with KIND:// or "
	    "KIND+SERVER://, such as redis://… or pgtable+postgresql://…; "
	    "kinds are %s",
	    url_redacted(arena, url), kinds);
}

bool
queue_is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* What people write when they paste a server's URL in front of our keys. */
static int
check_shape(const char *text, struct err *err)
{
	const char *question = strchr(text, '?');

	if (strlen(text) > URL_TEXT_MAX)
		return err_set(err, ERR_CAPACITY,
		    "the queue's URL is longer than %d bytes", URL_TEXT_MAX);
	if (question != NULL && strchr(question + 1, '?') != NULL)
		return err_set(err, ERR_INPUT,
		    "the queue's URL has a second '?': its keys are joined "
		    "with '&'");
	return 0;
}

static int
check_path(
    const struct queue_driver *driver, const struct url *url, struct err *err)
{
	if (!driver->deep_path && !text_ends(url->scheme, "unix") &&
	    url->path[0] == '/' && strchr(url->path + 1, '/') != NULL)
		return err_set(err, ERR_INPUT,
		    "the queue's URL has a second path: '%.80s' is not the name "
		    "of one database",
		    url->path + 1);
	return 0;
}

static int
unknown_key(const struct queue_driver *driver, const char *key, struct err *err)
{
	const char *nearest =
	    text_nearest(key, driver->keys, list_len(driver->keys));

	return err_set(err, ERR_INPUT,
	    "a queue of kind '%s' has no key '%.60s'%s%s%s", driver->kind, key,
	    nearest != NULL ? "; did you mean '" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

static int
collect_options(struct arena *arena, const struct queue_driver *driver,
    const struct url *url, struct queue_spec *spec, struct err *err)
{
	struct queue_option *options =
	    arena_array(arena, url->nquery + 1, sizeof(*options));
	size_t count = 0;

	if (url->nquery > OPTIONS_MAX)
		return err_set(err, ERR_CAPACITY,
		    "the queue's URL has more than %d keys", OPTIONS_MAX);
	for (size_t i = 0; i < url->nquery; i++) {
		const struct url_query *query = &url->query[i];

		if (!in_list(query->key, driver->keys)) {
			if (driver->any_key ||
			    (driver->client_keys != NULL &&
			        in_list(query->key, driver->client_keys)))
				continue;
			return unknown_key(driver, query->key, err);
		}
		for (size_t k = 0; k < count; k++) {
			if (text_equal(options[k].key, query->key))
				return err_set(err, ERR_INPUT,
				    "the queue's URL gives '%s' twice",
				    query->key);
		}
		options[count].key = query->key;
		options[count].value = query->value;
		count++;
	}
	spec->options = options;
	spec->noptions = count;
	return 0;
}

int
queue_spec_from_url(struct arena *arena, const char *url,
    struct queue_spec *ret, struct err *err)
{
	struct queue_spec spec = {0};
	struct url parsed;
	size_t scheme_len = 0;

	if (check_shape(url, err) == -1)
		return -1;
	const struct queue_driver *driver = driver_of_url(url, &scheme_len);

	if (driver == NULL)
		return unknown_scheme(arena, url, err);
	/* "pgtable+postgresql://…": the kind before '+' is ours */
	const char *plus = memchr(url, '+', scheme_len);
	bool ours = plus != NULL &&
	            strlen(driver->kind) == (size_t)(plus - url) &&
	            text_starts(url, driver->kind);
	const char *plain = ours ? plus + 1 : url;

	if (url_parse(arena, plain, &parsed, err) == -1)
		return err_wrap(err, "the queue's URL");
	if (check_path(driver, &parsed, err) == -1)
		return -1;
	spec.kind = driver->kind;
	spec.url = url_without(arena, plain, driver->keys);
	if (collect_options(arena, driver, &parsed, &spec, err) == -1)
		return -1;
	*ret = spec;
	return 0;
}

const char *
queue_option(const struct queue *queue, const char *key)
{
	for (size_t i = 0; i < queue->spec.noptions; i++) {
		if (text_equal(queue->spec.options[i].key, key))
			return queue->spec.options[i].value;
	}
	return NULL;
}

int
queue_trouble(struct queue *queue, enum cause cause, const char *code,
    struct err *err, enum err_kind kind, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	queue->cause = cause;
	(void)snprintf(queue->code, sizeof(queue->code), "%s", code);
	return err_set(err, kind, "%s", text);
}

struct queue_number
queue_exact(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_EXACT};
}

struct queue_number
queue_counted(int64_t count, int64_t count_to)
{
	return (struct queue_number){.value = count,
	    .know = count < count_to ? KNOW_EXACT : KNOW_AT_LEAST};
}

struct queue_number
queue_unknown(const char *why)
{
	return (struct queue_number){.know = KNOW_UNKNOWN, .why = why};
}

struct queue_number
queue_inapplicable(void)
{
	return (struct queue_number){.know = KNOW_NOT_APPLICABLE};
}

int64_t
queue_remaining_ms(const struct queue *queue)
{
	int64_t left = queue->deadline_ms - clock_ms();

	return left > 0 ? left : 0;
}

void
queue_nonce(char dst[QUEUE_NONCE_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[(QUEUE_NONCE_SIZE - 1) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort(); /* 16 bytes are never short once the pool is up */
	for (size_t i = 0; i < sizeof(bytes); i++) {
		dst[2 * i] = digits[bytes[i] >> 4];
		dst[2 * i + 1] = digits[bytes[i] & 15];
	}
	dst[QUEUE_NONCE_SIZE - 1] = '\0';
}

/* pass=env:NAME | file:/path: a URL that can be printed, its secret elsewhere
 */
static int
resolve_password(struct queue *queue, const char *reference, struct err *err)
{
	const char *value = NULL;
	struct buffer file;
	int rc = 0;

	buffer_init(&file, PASSWORD_MAX);
	if (text_starts(reference, "env:")) {
		value = getenv(reference + 4);
		if (value == NULL)
			rc = queue_trouble(queue, CAUSE_UNRESOLVED, "", err,
			    ERR_INPUT, "the variable %s of 'pass' is not set",
			    reference + 4);
	} else if (text_starts(reference, "file:")) {
		rc = buffer_read_file(&file, reference + 5, err);
		if (rc == -1)
			queue->cause = CAUSE_UNRESOLVED;
		else
			value = file.len > 0 ? file.data : "";
	} else {
		rc = queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'pass' is env:NAME or file:/PATH, never the password");
	}
	const char *rest = strstr(queue->spec.url, "://");

	if (rc == 0 && value != NULL && rest != NULL) {
		const char *host = rest + 3;
		size_t authority = strcspn(host, "/?#");
		const char *at = memrchr(host, '@', authority);
		size_t user = at != NULL ? (size_t)(at - host) : 0;

		queue->spec.url = arena_format(&queue->arena, "%.*s%.*s:%s@%s",
		    (int)(host - queue->spec.url), queue->spec.url,
		    (int)MIN(user, strcspn(host, ":@")), host,
		    url_encode(&queue->arena, value),
		    at != NULL ? at + 1 : host);
	}
	buffer_wipe(&file);
	return rc;
}

static void
copy_spec(struct queue *queue, const struct queue_spec *spec)
{
	struct arena *arena = &queue->arena;
	struct queue_option *options =
	    arena_array(arena, spec->noptions + 1, sizeof(*options));

	for (size_t i = 0; i < spec->noptions; i++) {
		options[i].key = arena_text(arena, spec->options[i].key);
		options[i].value = arena_text(arena, spec->options[i].value);
	}
	queue->spec.kind = arena_text(arena, spec->kind);
	queue->spec.url = arena_text(arena, spec->url);
	queue->spec.options = options;
	queue->spec.noptions = spec->noptions;
	queue->spec.count_to =
	    MIN(MAX(spec->count_to, (int64_t)QUEUE_COUNT_MIN),
	        (int64_t)QUEUE_COUNT_MAX);
}

/* "b" of sqs://host/a/b, unless the key says another. */
static const char *
last_of_path(struct queue *queue, const char *given)
{
	struct url url;

	if ((given != NULL && given[0] != '\0') ||
	    url_parse(&queue->arena, queue->spec.url, &url, NULL) == -1)
		return given;
	const char *slash = strrchr(url.path, '/');

	return slash == NULL ? "" : slash + 1;
}

static int
open_spec(struct queue *queue, struct err *err)
{
	const struct queue_driver *driver = queue_driver_find(queue->spec.kind);

	if (driver == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "queue kind '%.40s' is not built into this program",
		    queue->spec.kind);
	/* unknown, not a failure of the queue: it can't be looked at from here
	 */
	if (driver->left_out)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err,
		    ERR_UNSUPPORTED,
		    "this build is without queues of kind '%s'", driver->kind);
	for (size_t i = 0; i < queue->spec.noptions; i++) {
		if (!in_list(queue->spec.options[i].key, driver->keys)) {
			queue->cause = CAUSE_URL;
			return unknown_key(
			    driver, queue->spec.options[i].key, err);
		}
	}
	queue->name = queue_option(queue, driver->name_key);
	if (driver->name_in_path)
		queue->name = last_of_path(queue, queue->name);
	if (queue->name == NULL || queue->name[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of kind '%s' needs the key '%s'", driver->kind,
		    driver->name_key);
	const char *pass = queue_option(queue, "pass");

	if (pass != NULL && resolve_password(queue, pass, err) == -1)
		return -1;
	queue->driver = driver;
	return driver->open(queue, err);
}

int
queue_open_consuming(struct queue *ret, const struct queue_spec *spec,
    const struct queue_consuming *consuming, int64_t deadline_ms,
    struct err *err)
{
	*ret = (struct queue){.deadline_ms = deadline_ms};
	arena_init(&ret->arena, HANDLE_BYTES_MAX);
	ladder_init(&ret->ladder, &ret->arena, deadline_ms);
	if (consuming != NULL)
		ret->consuming = *consuming;
	ret->name = "";
	ret->target = "";
	if (spec->url == NULL)
		return queue_trouble(ret, CAUSE_UNRESOLVED, "", err, ERR_INPUT,
		    "the queue has no URL");
	if (spec->kind == NULL || spec->kind[0] == '\0') {
		struct queue_spec parsed;

		if (queue_spec_from_url(&ret->arena, spec->url, &parsed, err) ==
		    -1) {
			ret->cause = CAUSE_URL;
			return -1;
		}
		ret->spec = parsed;
	} else {
		copy_spec(ret, spec);
	}
	return open_spec(ret, err);
}

int
queue_open(struct queue *ret, const struct queue_spec *spec,
    int64_t deadline_ms, struct err *err)
{
	return queue_open_consuming(ret, spec, NULL, deadline_ms, err);
}

void
queue_close(struct queue *queue)
{
	if (queue->driver != NULL && queue->state != NULL)
		queue->driver->close(queue);
	queue->state = NULL;
	arena_wipe(&queue->arena);
	arena_fini(&queue->arena);
	*queue = (struct queue){0};
}

static void
begin(struct queue *queue)
{
	queue->cause = CAUSE_NONE;
	queue->code[0] = '\0';
}

static struct queue_state
nothing_seen(const struct queue *queue)
{
	return (struct queue_state){.paused = -1,
	    .engine = "",
	    .identity = "",
	    .target = queue->target,
	    .amiss = "",
	    .head = ""};
}

int
queue_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct queue_state state = nothing_seen(queue);

	begin(queue);
	if (queue->driver->observe(queue, arena, &state, err) == -1)
		return -1;
	*ret = state;
	return 0;
}

void
queue_observe_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count;) {
		const struct queue_driver *driver = all[i].queue->driver;
		size_t end = i;

		while (end < count && all[end].queue->driver->observe_many ==
		                          driver->observe_many) {
			begin(all[end].queue);
			all[end].state = nothing_seen(all[end].queue);
			all[end].rc = 0;
			all[end++].err = ERR_INIT;
		}
		if (driver->observe_many != NULL)
			driver->observe_many(&all[i], end - i);
		for (; driver->observe_many == NULL && i < end; i++)
			all[i].rc = all[i].queue->driver->observe(all[i].queue,
			    all[i].arena, &all[i].state, &all[i].err);
		i = end;
	}
}

int
queue_near_names(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	begin(queue);
	return queue->driver->near(queue, arena, state, err);
}

void
queue_near_names_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count;) {
		const struct queue_driver *driver = all[i].queue->driver;
		size_t end = i;

		while (end < count &&
		       all[end].queue->driver->near_many == driver->near_many) {
			begin(all[end].queue);
			all[end].rc = 0;
			all[end++].err = ERR_INIT;
		}
		if (driver->near_many != NULL)
			driver->near_many(&all[i], end - i);
		for (; driver->near_many == NULL && i < end; i++)
			all[i].rc = all[i].queue->driver->near(all[i].queue,
			    all[i].arena, &all[i].state, &all[i].err);
		i = end;
	}
}

int
queue_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	begin(queue);
	return queue->driver->submit(queue, job, arena, ret_receipt, err);
}

int
queue_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct queue_sighting sighting = {
	    .by = "", .attempts = -1, .detail = ""};

	begin(queue);
	if (queue->driver->follow(queue, job, arena, &sighting, err) == -1)
		return -1;
	*ret = sighting;
	return 0;
}

int
queue_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	begin(queue);
	return queue->driver->remove(queue, job, ret_removed, err);
}

const char *
queue_part_name(enum queue_part part)
{
	switch (part) {
	case PART_WAITING:
		return "waiting";
	case PART_ACTIVE:
		return "active";
	case PART_DELAYED:
		return "delayed";
	case PART_DEAD:
		return "dead";
	case PART_EXPIRED:
		return "expired";
	}
	UNREACHABLE("queue_part");
}

bool
queue_part_parse(const char *name, enum queue_part *ret)
{
	for (int i = PART_WAITING; i <= PART_EXPIRED; i++) {
		if (text_equal(name, queue_part_name((enum queue_part)i))) {
			*ret = (enum queue_part)i;
			return true;
		}
	}
	return false;
}

static int
by_number(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool
is_asked_for(const struct queue_asker *asker, int64_t pid)
{
	return pid > 0 && asker->npids > 0 &&
	       bsearch(&pid, asker->pids, asker->npids, sizeof(pid),
	           by_number) != NULL;
}

bool
queue_lists(
    const struct queue *queue, int64_t pid, int64_t session, size_t *passers)
{
	return queue->asker.pids == NULL || is_asked_for(&queue->asker, pid) ||
	       is_asked_for(&queue->asker, session) ||
	       (*passers)++ < PASSERS_MAX;
}

int
queue_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct queue_page page = {0};

	begin(queue);
	if (queue->driver->list == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "jobs of a queue of kind '%s' can't be shown",
		    queue->driver->kind);
	if (queue->driver->list(queue, part, limit, arena, &page, err) == -1)
		return -1;
	*ret = page;
	return 0;
}

int
queue_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	struct queue_moved moved = {0};

	begin(queue);
	assert(move->from == PART_DEAD || move->from == PART_EXPIRED);
	assert(move->nids <= QUEUE_MOVE_MAX);
	if (queue->driver->move == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "jobs of a queue of kind '%s' can't be moved by reeve",
		    queue->driver->kind);
	if (queue->driver->move(queue, move, arena, &moved, err) == -1)
		return -1;
	*ret = moved;
	return 0;
}

int
queue_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	begin(queue);
	*ret = (struct queue_reaped){
	    .ids = arena_array(arena, QUEUE_REAP_MAX, sizeof(*ret->ids)),
	    .owners = arena_array(arena, QUEUE_REAP_MAX, sizeof(*ret->owners))};
	if (queue->driver->reap == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "a queue of kind '%s' doesn't say which process holds a job",
		    queue->driver->kind);
	return queue->driver->reap(queue, reap, arena, ret, err);
}

bool
queue_reap_is_due(const struct queue_reap *reap, const char *owner)
{
	return owner_is_of(owner, reap->workers, reap->nworkers) &&
	       owner_state(owner) == OWNER_DEAD;
}

void
queue_reaped_add(struct queue_reaped *ret, struct arena *arena, const char *id,
    const char *owner)
{
	if (ret->count == QUEUE_REAP_MAX)
		return;
	ret->ids[ret->count] = arena_text(arena, id);
	ret->owners[ret->count++] = arena_text(arena, owner);
}

/* What a server knows of a name may be cut, but not before who it is. */
static bool
is_named(const struct queue_consumer *who, const char *owner)
{
	return text_starts(owner, who->id) && strchr(who->id, ':') != NULL;
}

void
queue_mark_holders(struct arena *arena, struct queue_state *state,
    const char *const *owners, size_t count)
{
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	size_t listed = state->nwho;

	for (size_t i = 0; i < listed; i++)
		who[i] = state->who[i];
	for (size_t k = 0; k < count; k++) {
		const char *replica = owner_replica(arena, owners[k]);
		bool there = false;

		for (size_t i = 0; i < listed; i++) {
			if (!is_named(&who[i], owners[k]))
				continue;
			who[i].proof |= PROOF_HOLDS_LEASE;
			there = true;
		}
		if (there || *replica == '\0' || state->nwho == QUEUE_WHO_MAX ||
		    owner_state(owners[k]) == OWNER_DEAD)
			continue;
		who[state->nwho++] = (struct queue_consumer){.id = owners[k],
		    .address = "",
		    .reads = "",
		    .worker = replica,
		    .pid = -1,
		    .proof = PROOF_HOLDS_LEASE};
	}
	state->who = who;
}

size_t
queue_move_wanted(
    const struct queue_move *move, const bool *moved, const char *id)
{
	size_t i = 0;

	while (i < move->nids && (moved[i] || !text_equal(move->ids[i], id)))
		i++;
	return i;
}

int
queue_moved_so_far(
    struct queue *queue, size_t count, size_t wanted, struct err *err)
{
	if (count == 0)
		return -1;
	queue->code[0] = '\0'; /* it doesn't say "nothing was moved" */
	return err_wrap(err, "%zu of %zu moved, then", count, wanted);
}

int
queue_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	begin(queue);
	assert(queue->consuming.owner != NULL && queue->consuming.lease_ms > 0);
	queue_nonce(ret->nonce);
	buffer_clear(&ret->payload);
	ret->id[0] = '\0';
	ret->token[0] = '\0';
	ret->attempt = 0;
	ret->max_attempts = 0;
	return queue->driver->claim(queue, wait_ms, ret, ret_got, err);
}

int
queue_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->extend(queue, job, ret_held, err);
}

int
queue_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->finish(queue, job, ret_held, err);
}

int
queue_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->fail(queue, job, retry_ms, ret_held, err);
}

int
queue_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->bury(queue, job, reason, ret_held, err);
}

int
queue_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->release(queue, job, ret_held, err);
}

int
queue_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	begin(queue);
	if (queue->driver->heartbeat == NULL)
		return 0;
	return queue->driver->heartbeat(queue, leaving, err);
}

void
queue_job_init(struct queue_job *job)
{
	*job = (struct queue_job){0};
	buffer_init(&job->payload, QUEUE_PAYLOAD_MAX);
}

void
queue_job_fini(struct queue_job *job)
{
	buffer_fini(&job->payload);
}
