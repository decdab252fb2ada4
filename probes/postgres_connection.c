/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/postgres_connection.h"
#include "probes/stream.h"

enum {
	PORT_DEFAULT = 5432,
	PARAMS_MAX = 64,
	MESSAGE_MAX = 480,
	TIMEOUTS_SIZE = 512
};
static const int64_t LOCK_TIMEOUT_MS = 200;
static const int64_t ANSWER_MARGIN_MS = 100;

static const struct {
	const char *state; /* a class of two, or a whole one of five */
	enum cause cause;
} state_causes[] = {
    {"28", CAUSE_AUTH},
    {"3D", CAUSE_WRONG_DATABASE},
    {"42501", CAUSE_PERMISSION},
    {"25006", CAUSE_PERMISSION}, /* read only */
    {"42P01", CAUSE_NOT_FOUND},  /* table */
    {"42703", CAUSE_NOT_FOUND},  /* column */
    {"42704", CAUSE_NOT_FOUND},
    {"42883", CAUSE_NOT_FOUND}, /* function */
    {"3F000", CAUSE_NOT_FOUND}, /* schema */
    {"08P01", CAUSE_WRONG_TYPE},
    {"08", CAUSE_UNAVAILABLE},
    {"53", CAUSE_UNAVAILABLE}, /* too many clients, disk full */
    {"57014", CAUSE_DEADLINE}, /* statement_timeout */
    {"55P03", CAUSE_DEADLINE}, /* lock_timeout */
    {"57P", CAUSE_UNAVAILABLE},
    {"55", CAUSE_UNAVAILABLE},
    {"58", CAUSE_UNAVAILABLE},
    {"XX", CAUSE_UNAVAILABLE},
};

/* What an SQLSTATE means; "" and unknown ones are CAUSE_MISMATCH. */
static enum cause
postgres_cause(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(state_causes); i++)
		if (text_starts(state, state_causes[i].state))
			return state_causes[i].cause;
	return CAUSE_MISMATCH;
}

bool
postgres_is_unknown(const struct postgres_trouble *trouble)
{
	return trouble->cause == CAUSE_DEADLINE ||
	       trouble->cause == CAUSE_SILENT ||
	       trouble->cause == CAUSE_UNAVAILABLE ||
	       trouble->cause == CAUSE_INTERNAL;
}

void
postgres_result_free(PGresult **result)
{
	PQclear(*result);
	*result = NULL;
}

void
postgres_finish(PGconn **db)
{
	PQfinish(*db);
	*db = NULL;
}

/* Five capitals and digits, one digit at least ("FATAL" is none). */
static bool
is_state(const char *word)
{
	bool digit = false;

	for (size_t i = 0; i < POSTGRES_STATE_SIZE - 1; i++) {
		bool one = isdigit((unsigned char)word[i]) != 0;
		if (!one && !isupper((unsigned char)word[i]))
			return false;
		digit = digit || one;
	}
	return digit && word[POSTGRES_STATE_SIZE - 1] == ':';
}

/* "…: FATAL:  28P01: words": the severity may be in the server's language.
 * What is behind the state, or NULL. */
static const char *
find_state(const char *text, char state[POSTGRES_STATE_SIZE])
{
	state[0] = '\0';
	for (const char *at = strchr(text, ':'); at != NULL;
	     at = strchr(at + 1, ':')) {
		const char *word = at + 1 + strspn(at + 1, " ");
		if (!is_state(word))
			continue;
		memcpy(state, word, POSTGRES_STATE_SIZE - 1);
		state[POSTGRES_STATE_SIZE - 1] = '\0';
		word += POSTGRES_STATE_SIZE;
		return word + strspn(word, " ");
	}
	return NULL;
}

/* libpq's message as one line without LOCATION and the like. */
static void
one_line(const char *text, char dst[MESSAGE_MAX])
{
	char state[POSTGRES_STATE_SIZE];
	const char *words = find_state(text, state);
	size_t used = 0;

	if (words == NULL)
		words = text;
	for (; *words != '\0' && used + 1 < MESSAGE_MAX; words++) {
		if (text_starts(words, "\nLOCATION:"))
			break;
		dst[used] = *words;
		if (*words == '\n' || *words == '\t')
			dst[used] = ' ';
		used++;
	}
	while (used > 0 && dst[used - 1] == ' ')
		used--;
	dst[used] = '\0';
}

/* 0 ready, -1 with errno. libpq changes its socket between polls. */
static int
db_wait(PGconn *db, short events, int64_t deadline_ms)
{
	int fd = PQsocket(db);

	if (fd == -1) {
		errno = EBADF;
		return -1;
	}
	return stream_wait(fd, events, deadline_ms);
}

/* What libpq was given, and what we add. */
struct params {
	PQconninfoOption *options;
	const char *keys[PARAMS_MAX];
	const char *values[PARAMS_MAX];
	size_t count;
	const char *host, *hostaddr, *user, *database;
	int port;
};

static void
param_add(struct params *params, const char *key, const char *value)
{
	for (size_t i = 0; i < params->count; i++)
		if (text_equal(params->keys[i], key)) {
			params->values[i] = value;
			return;
		}
	if (params->count + 1 < PARAMS_MAX) {
		params->keys[params->count] = key;
		params->values[params->count++] = value;
	}
}

static const char *
param_get(const struct params *params, const char *key)
{
	for (size_t i = 0; i < params->count; i++)
		if (text_equal(params->keys[i], key))
			return params->values[i];
	return NULL;
}

static int
params_parse(const char *url, const char *name, struct ladder *ladder,
    struct params *ret)
{
	char *why = NULL;
	int64_t port = PORT_DEFAULT;

	ret->options = PQconninfoParse(url, &why);
	if (ret->options == NULL) {
		char text[MESSAGE_MAX];
		one_line(why != NULL ? why : "out of memory", text);
		PQfreemem(why);
		return ladder_fail(ladder, CAUSE_URL, "", "%s", text);
	}
	for (const PQconninfoOption *o = ret->options; o->keyword != NULL; o++)
		if (o->val != NULL)
			param_add(ret, o->keyword, o->val);
	ret->host = param_get(ret, "host");
	ret->hostaddr = param_get(ret, "hostaddr");
	ret->user = param_get(ret, "user");
	ret->database = param_get(ret, "dbname");
	const char *text = param_get(ret, "port");
	if (text != NULL && strchr(text, ',') == NULL &&
	    text_i64(text, 1, 65535, &port, NULL) == -1)
		return ladder_fail(
		    ladder, CAUSE_URL, "", "'%.20s' is no port", text);
	ret->port = (int)port;
	if (ret->host != NULL && strchr(ret->host, '@') != NULL)
		return ladder_fail(ladder, CAUSE_URL, "unencoded-at",
		    "the password holds an '@' that must be written as %%40: "
		    "what follows it was taken for the host's name");
	param_add(ret, "application_name", name != NULL ? name : "reeve-probe");
	param_add(ret, "client_encoding", "UTF8");
	param_add(ret, "connect_timeout", "0");
	param_add(ret, "gssencmode", "disable");
	/* a password that only this host's user knows would be a false green */
	param_add(ret, "passfile", "/nonexistent/pgpass");
	return 0;
}

static void
params_free(struct params *params)
{
	if (params->options == NULL)
		return;
	for (PQconninfoOption *o = params->options; o->keyword != NULL; o++)
		if (o->val != NULL)
			explicit_bzero(o->val, strlen(o->val));
	PQconninfoFree(params->options);
}

/* libpq has no code for what happens before the server speaks: by its words,
 * which are English here (no setlocale). */
static const struct {
	const char *words;
	enum step_kind step;
	enum cause cause;
	bool unknown;
	const char *code;
} connect_words[] = {
    {"Connection refused", STEP_TCP, CAUSE_REFUSED, false, "ECONNREFUSED"},
    {"No such file or directory", STEP_TCP, CAUSE_REFUSED, false, "ENOENT"},
    {"No route to host", STEP_TCP, CAUSE_UNREACHABLE, true, "EHOSTUNREACH"},
    {"Network is unreachable", STEP_TCP, CAUSE_UNREACHABLE, true,
        "ENETUNREACH"},
    {"timed out", STEP_TCP, CAUSE_UNREACHABLE, true, "ETIMEDOUT"},
    {"could not translate host name", STEP_DNS, CAUSE_DNS, false, ""},
    {"server does not support SSL", STEP_TLS, CAUSE_TLS, false, "not-offered"},
    {"does not match host name", STEP_TLS, CAUSE_TLS, false, "wrong-name"},
    {"certificate has expired", STEP_TLS, CAUSE_TLS, false, "expired"},
    {"certificate verify failed", STEP_TLS, CAUSE_TLS, false, "untrusted"},
    {"root certificate file", STEP_TLS, CAUSE_TLS, false, "untrusted"},
    {"received invalid response to SSL negotiation", STEP_PROTOCOL,
        CAUSE_WRONG_TYPE, false, ""},
    {"expected authentication request from server", STEP_PROTOCOL,
        CAUSE_WRONG_TYPE, false, ""},
    {"invalid message", STEP_PROTOCOL, CAUSE_WRONG_TYPE, false, ""},
    {"SSL error", STEP_TLS, CAUSE_TLS, false, "handshake"},
    {"no password supplied", STEP_AUTH, CAUSE_AUTH, false, "no-password"},
    {"authentication method", STEP_AUTH, CAUSE_AUTH, false, ""},
    {"SCRAM", STEP_AUTH, CAUSE_AUTH, false, ""},
    {"no such database", STEP_AUTH, CAUSE_WRONG_DATABASE, false, "08P01"},
    {"no such user", STEP_AUTH, CAUSE_AUTH, false, "08P01"},
    {"unsupported startup parameter", STEP_PROTOCOL, CAUSE_MISMATCH, false,
        "08P01"},
    {"closed the connection unexpectedly", STEP_PROTOCOL, CAUSE_UNAVAILABLE,
        false, "closed"},
    {"Connection reset", STEP_PROTOCOL, CAUSE_UNAVAILABLE, false, "closed"},
};

static int
connect_failed(PGconn *db, struct ladder *ladder, const char *where)
{
	char state[POSTGRES_STATE_SIZE];
	char text[MESSAGE_MAX];
	const char *message = PQerrorMessage(db);

	(void)find_state(message, state);
	one_line(message, text);
	/* a pooler says everything with the code of a broken protocol */
	if (state[0] != '\0' && !text_equal(state, "08P01")) {
		enum cause cause = postgres_cause(state);
		ladder->current =
		    cause == CAUSE_AUTH || cause == CAUSE_WRONG_DATABASE
		        ? STEP_AUTH
		        : STEP_PROTOCOL;
		if (cause == CAUSE_UNAVAILABLE)
			return ladder_unknown(
			    ladder, cause, state, "%s: %s", state, text);
		return ladder_fail(ladder, cause, state, "%s: %s", state, text);
	}
	for (size_t i = 0; i < ARRAY_LEN(connect_words); i++) {
		if (strstr(message, connect_words[i].words) == NULL)
			continue;
		ladder->current = connect_words[i].step;
		if (connect_words[i].cause == CAUSE_REFUSED)
			return ladder_fail(ladder, CAUSE_REFUSED,
			    connect_words[i].code,
			    "%s refuses connections: nothing listens there",
			    where);
		return (connect_words[i].unknown ? ladder_unknown
		                                 : ladder_fail)(ladder,
		    connect_words[i].cause, connect_words[i].code, "%s", text);
	}
	if (strstr(message, "password authentication failed") != NULL) {
		ladder->current = STEP_AUTH;
		return ladder_fail(ladder, CAUSE_AUTH, state, "%s", text);
	}
	return ladder_fail(ladder, CAUSE_MISMATCH, state, "%s", text);
}

/* Which rung libpq is on, by its own state. */
static enum step_kind
rung(PGconn *db)
{
	switch ((int)PQstatus(db)) {
	case CONNECTION_NEEDED:
	case CONNECTION_STARTED:
		return STEP_TCP;
	case CONNECTION_SSL_STARTUP:
		return STEP_TLS;
	case CONNECTION_MADE:
		return STEP_PROTOCOL;
	default:
		return STEP_AUTH;
	}
}

static int
connect_timed_out(PGconn *db, struct ladder *ladder, const char *where)
{
	ladder->current = rung(db);
	if (ladder->current == STEP_TCP)
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "ETIMEDOUT",
		    "no answer from %s to a connection attempt", where);
	return ladder_unknown(ladder, CAUSE_SILENT, "",
	    "%s accepts connections but does not answer a PostgreSQL login",
	    where);
}

/* Moves the ladder along as libpq's state does. */
static void
climb(PGconn *db, struct ladder *ladder, const char *where)
{
	enum step_kind now = rung(db);

	/* what it sends first may be a request for TLS: no rung of its own */
	if (now == STEP_PROTOCOL || now == ladder->current)
		return;
	if (ladder->current == STEP_TCP)
		ladder_pass(ladder, "connected to %s", where);
	/* with sslmode=prefer it goes on without, where there is none */
	else if (ladder->current == STEP_TLS && PQsslInUse(db))
		ladder_pass(ladder, "encrypted");
	ladder_begin(ladder, now, where);
}

static int
connect_poll(
    PGconn *db, struct ladder *ladder, const char *where, int64_t deadline_ms)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	while (want != PGRES_POLLING_OK) {
		if (want == PGRES_POLLING_FAILED)
			return connect_failed(db, ladder, where);
		if (db_wait(db,
		        want == PGRES_POLLING_READING ? POLLIN : POLLOUT,
		        deadline_ms) == -1)
			return connect_timed_out(db, ladder, where);
		want = PQconnectPoll(db);
		if (want != PGRES_POLLING_FAILED)
			climb(db, ladder, where);
	}
	return 0;
}

/* One address; libpq goes on by itself where it was given several hosts. */
static int
connect_address(struct params *params, const char *address,
    struct ladder *ladder, int64_t deadline_ms, PGconn **ret)
{
	CLEANUP(postgres_finish) PGconn *db = NULL;
	const char *where =
	    address != NULL
	        ? arena_format(ladder->arena, "%s:%d", address, params->port)
	    : params->host != NULL ? params->host
	                           : "the local socket";

	if (address != NULL)
		param_add(params, "hostaddr", address);
	params->keys[params->count] = NULL;
	params->values[params->count] = NULL;
	ladder_begin(ladder, STEP_TCP, where);
	db = PQconnectStartParams(params->keys, params->values, 0);
	if (db == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	/* without it the message of a refused login has no SQLSTATE */
	(void)PQsetErrorVerbosity(db, PQERRORS_VERBOSE);
	if (PQstatus(db) == CONNECTION_BAD)
		return connect_failed(db, ladder, where);
	if (connect_poll(db, ladder, where, deadline_ms) == -1)
		return -1;
	ladder->current = STEP_AUTH;
	ladder_pass(
	    ladder, "logged in as %s to database %s", PQuser(db), PQdb(db));
	(void)PQsetnonblocking(db, 1);
	*ret = db;
	db = NULL;
	return 0;
}

static const char *
bare_address(struct arena *arena, const struct stream_addresses *all, size_t i)
{
	char text[STREAM_ADDRESS_SIZE];

	stream_address_text((const void *)&all->all[i], all->len[i], text);
	char *colon = strrchr(text, ':');
	if (colon != NULL)
		*colon = '\0';
	/* libpq wants no brackets around a v6 address */
	if (text[0] == '[') {
		text[strlen(text) - 1] = '\0';
		return arena_text(arena, text + 1);
	}
	return arena_text(arena, text);
}

static bool
single_host(const struct params *params)
{
	return params->host != NULL && params->host[0] != '\0' &&
	       params->host[0] != '/' && params->host[0] != '@' &&
	       strchr(params->host, ',') == NULL && params->hostaddr == NULL;
}

static int
connect_params(struct params *params, struct ladder *ladder, PGconn **ret)
{
	struct stream_addresses found = {.count = 0};

	if (!single_host(params))
		return connect_address(
		    params, NULL, ladder, ladder->deadline_ms, ret);
	if (stream_resolve(params->host, params->port, ladder, &found) == -1)
		return -1;
	for (size_t i = 0; i < found.count; i++) {
		struct ladder attempt = *ladder;
		int64_t now_ms = clock_ms();
		int64_t share_ms =
		    (ladder->deadline_ms - now_ms) / (int64_t)(found.count - i);
		int rc = connect_address(params,
		    bare_address(ladder->arena, &found, i), &attempt,
		    clock_after(now_ms, MAX(share_ms, 1)), ret);
		bool last = i + 1 == found.count;
		/* the next address is only for one that didn't answer */
		if (rc == 0 || last || attempt.current != STEP_TCP) {
			*ladder = attempt;
			return rc;
		}
	}
	return ladder_unknown(ladder, CAUSE_DNS, "", "no address to try");
}

static int
connection_open(const char *url, const char *name, const char *database,
    struct ladder *ladder, PGconn **ret)
{
	static const char *const variables[] = {"PGHOST", "PGHOSTADDR",
	    "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE",
	    "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGAPPNAME", "PGSSLMODE",
	    "PGCHANNELBINDING", "PGREQUIRESSL", "PGSSLCERT", "PGSSLKEY",
	    "PGSSLROOTCERT", "PGSSLCRL", "PGCONNECT_TIMEOUT",
	    "PGCLIENTENCODING", "PGTARGETSESSIONATTRS", "PGGSSENCMODE"};
	struct params params = {.options = NULL};

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		(void)unsetenv(variables[i]);
	ladder_begin(ladder, STEP_DNS, "");
	int rc = params_parse(url, name, ladder, &params);
	if (rc == 0 && database != NULL)
		param_add(&params, "dbname", database);
	if (rc == 0)
		rc = connect_params(&params, ladder, ret);
	params_free(&params);
	return rc;
}

int
postgres_connection_open(
    const char *url, const char *name, struct ladder *ladder, PGconn **ret)
{
	return connection_open(url, name, NULL, ladder, ret);
}

int
postgres_connection_beside(
    const char *url, const char *database, struct ladder *ladder, PGconn **ret)
{
	return connection_open(url, NULL, database, ladder, ret);
}

static int
query_lost(struct postgres_session *session, struct err *err)
{
	bool timeout = errno == ETIMEDOUT;
	char text[MESSAGE_MAX];

	one_line(PQerrorMessage(session->db), text);
	session->trouble = (struct postgres_trouble){
	    .cause = timeout ? CAUSE_SILENT : CAUSE_UNAVAILABLE, .lost = true};
	if (timeout)
		return err_set(err, ERR_TIMEOUT,
		    "the server did not answer the query in time");
	return err_set(err, ERR_SYSTEM, "%s",
	    text[0] != '\0' ? text : "the connection was lost");
}

static int
query_refused(
    struct postgres_session *session, const PGresult *result, struct err *err)
{
	struct postgres_trouble *trouble = &session->trouble;
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	*trouble = (struct postgres_trouble){.cause = CAUSE_MISMATCH};
	if (state != NULL) {
		(void)snprintf(
		    trouble->state, sizeof(trouble->state), "%s", state);
		trouble->cause = postgres_cause(state);
	}
	return err_set(err, ERR_REFUSED, "%s: %s%s%s", trouble->state,
	    text != NULL ? text : "refused", hint != NULL ? ": " : "",
	    hint != NULL ? hint : "");
}

static int
query_flush(PGconn *db, int64_t deadline_ms)
{
	for (;;) {
		int rc = PQflush(db);
		if (rc <= 0) {
			errno = EPIPE;
			return rc;
		}
		if (db_wait(db, POLLIN | POLLOUT, deadline_ms) == -1)
			return -1;
		if (PQconsumeInput(db) == 0) {
			errno = EPIPE;
			return -1;
		}
	}
}

/* The next result, NULL at the end; -1 with errno. */
static int
query_next(PGconn *db, int64_t deadline_ms, PGresult **ret)
{
	while (PQisBusy(db)) {
		if (db_wait(db, POLLIN, deadline_ms) == -1)
			return -1;
		if (PQconsumeInput(db) == 0) {
			errno = EPIPE;
			return -1;
		}
	}
	*ret = PQgetResult(db);
	return 0;
}

/* Takes all results, keeps the last one that is good. */
static int
query_results(struct postgres_session *session, PGresult **ret, struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *last = NULL;
	int rc = 0;

	for (;;) {
		CLEANUP(postgres_result_free) PGresult *result = NULL;
		if (query_next(session->db, session->deadline_ms, &result) ==
		    -1)
			return query_lost(session, err);
		if (result == NULL)
			break;
		ExecStatusType status = PQresultStatus(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
			if (rc == 0)
				rc = query_refused(session, result, err);
			continue;
		}
		postgres_result_free(&last);
		last = result;
		result = NULL;
	}
	if (rc == -1) {
		/* a server that shuts down says so, and is gone */
		session->trouble.lost = PQstatus(session->db) != CONNECTION_OK;
		return -1;
	}
	if (last == NULL) {
		session->trouble = (struct postgres_trouble){
		    .cause = CAUSE_UNAVAILABLE, .lost = true};
		return err_set(err, ERR_SYSTEM, "the server gave no result");
	}
	*ret = last;
	last = NULL;
	return 0;
}

int
postgres_query(struct postgres_session *session, const char *sql, int nparams,
    const char *const *params, PGresult **ret, struct err *err)
{
	session->trouble = (struct postgres_trouble){.cause = CAUSE_NONE};
	errno = 0;
	if (PQsendQueryParams(
	        session->db, sql, nparams, NULL, params, NULL, NULL, 0) != 1 ||
	    query_flush(session->db, session->deadline_ms) == -1)
		return query_lost(session, err);
	return query_results(session, ret, err);
}

int
postgres_run(struct postgres_session *session, const char *sql, struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *last = NULL;

	session->trouble = (struct postgres_trouble){.cause = CAUSE_NONE};
	errno = 0;
	if (PQsendQuery(session->db, sql) != 1 ||
	    query_flush(session->db, session->deadline_ms) == -1)
		return query_lost(session, err);
	return query_results(session, &last, err);
}

int
postgres_begin(struct postgres_session *session, bool writes, struct err *err)
{
	char sql[TIMEOUTS_SIZE];
	int64_t left_ms = MAX(session->deadline_ms - clock_ms(), 1);

	/* the server ends a long statement by itself a little earlier, so that
	 * its answer still comes */
	left_ms = MAX(left_ms - MIN(left_ms / 10, ANSWER_MARGIN_MS), 1);
	/* SET LOCAL, not startup options: a pooler refuses those */
	(void)snprintf(sql, sizeof(sql),
	    "BEGIN%s;SET LOCAL statement_timeout=%" PRId64
	    ";SET LOCAL lock_timeout=%" PRId64
	    "%s;SET LOCAL idle_in_transaction_session_timeout=10000",
	    writes ? "" : " READ ONLY", left_ms, MIN(left_ms, LOCK_TIMEOUT_MS),
	    writes ? "" : ";SET LOCAL row_security=off");
	return postgres_run(session, sql, err);
}
