/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/reading.h"
#include "supervisor/wire/place.h"

/*
 * HTTP and JSON on a unix socket: what `reeve status` and its like speak, and
 * `curl --unix-socket` too. Who may change things is decided by the peer's
 * credentials; whoever can connect may look.
 */
enum {
	CONNECTIONS_MAX = 16,
	BACKLOG = 16,
};

struct control {
	struct operator_core *op;
	struct sockaddr_un address; /* to remove */
	socklen_t address_len;
	struct http_server server;
	struct foreseen *foreseen;
};

/* `reeve plan -f FILE` while the file is being read. */
struct foreseen {
	struct control *control;
	struct reading *reading;
	struct http_request *request;
	struct foreseen *next, **before; /* what points to it */
};

/* What is answered when the manifest has been read: `reeve reload`, and orders
 * that came too early. */
struct later {
	struct operator_core *op;
	struct http_request *request;
	const struct route *route;
};

/* One request. */
struct ask {
	struct operator_core *op;
	struct http_request *request;
};

typedef void ask_fn(struct ask *ask);

/* An operator that has just begun knows neither yet. */
enum needs {
	NEEDS_NOTHING,
	NEEDS_RUNNING,  /* what the init says of the workers */
	NEEDS_DECLARED, /* and a manifest in force */
};

struct route {
	const char *method, *path;
	ask_fn *run;
	bool guarded; /* not for everybody who can connect */
	bool order;   /* changes something: kept in the history */
	enum needs needs;
};

static void
say(struct ask *ask, unsigned status, bool ok, const char *text)
{
	struct jsonw json;

	ask->request->status = status;
	buffer_clear(&ask->request->out);
	jsonw_init(&json, &ask->request->out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.control/1");
	jsonw_bool(&json, "ok", ok);
	jsonw_text(&json, "text", text);
	jsonw_end(&json);
	buffer_text(&ask->request->out, "\n");
}

static const char *
argument(const struct ask *ask, const char *key)
{
	return http_argument(ask->request, key);
}

/* --- who asks ---------------------------------------------------------- */

static bool
in_group(const struct ucred *peer, const char *name)
{
	gid_t groups[256];
	int count = ARRAY_LEN(groups);
	const struct group *group = getgrnam(name);
	const struct passwd *user = getpwuid(peer->uid);

	if (group == NULL)
		return false;
	gid_t wanted = group->gr_gid;

	if (peer->gid == wanted)
		return true;
	if (user == NULL ||
	    getgrouplist(user->pw_name, user->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static int
peer_of(const struct ask *ask, struct ucred *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(
	    http_descriptor(ask->request), SOL_SOCKET, SO_PEERCRED, ret, &len);
}

/* Root, our own user, or a member of supervisor.control.group. */
static bool
may_change(const struct ask *ask)
{
	struct ucred peer = {.uid = (uid_t)-1};
	const struct intent *intent = ask->op->intent;

	if (peer_of(ask, &peer) == -1)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return intent != NULL &&
	       intent->declared->supervisor.control_group != NULL &&
	       in_group(&peer, intent->declared->supervisor.control_group);
}

/* What people ordered is worth remembering, with who it was. */
static void
note_order(const struct ask *ask, const char *path)
{
	struct ucred peer = {.uid = (uid_t)-1};
	const char *replica = argument(ask, "replica");
	const char *replicas = argument(ask, "replicas");

	(void)peer_of(ask, &peer);
	events_say(ask->op->events, "order", argument(ask, "worker"),
	    "%s%s%.8s%s%.8s by uid %d", path + 1,
	    replica == NULL ? "" : " replica ", replica == NULL ? "" : replica,
	    replicas == NULL ? "" : " to ", replicas == NULL ? "" : replicas,
	    (int)peer.uid);
}

/* --- what is asked ------------------------------------------------------ */

/* The worker that is meant; NULL after the answer was given. `ret_replica` is
 * WIRE_ALL_REPLICAS where none is named. */
static struct running_worker *
worker_meant(struct ask *ask, int32_t *ret_replica)
{
	const char *name = argument(ask, "worker");
	const char *replica = argument(ask, "replica");
	struct err err = ERR_INIT;
	char text[128];
	int64_t index = WIRE_ALL_REPLICAS;

	if (name == NULL || *name == '\0') {
		say(ask, MHD_HTTP_BAD_REQUEST, false, "which worker?");
		return NULL;
	}
	struct running_worker *worker = running_find(&ask->op->running, name);

	if (worker == NULL) {
		(void)snprintf(text, sizeof(text), "no worker '%.63s'", name);
		say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return NULL;
	}
	if (replica != NULL &&
	    text_i64(replica, 0, WORKER_REPLICAS_MAX, &index, &err) == -1) {
		say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return NULL;
	}
	if (index >= 0 &&
	    running_instance_find(worker, (uint32_t)index) == NULL) {
		(void)snprintf(text, sizeof(text), "'%.63s' has no replica %d",
		    name, (int)index);
		say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return NULL;
	}
	*ret_replica = (int32_t)index;
	return worker;
}

static void
get_status(struct ask *ask)
{
	status_write(ask->op, &ask->request->out);
}

static void
get_events(struct ask *ask)
{
	struct err err = ERR_INIT;

	if (status_events(ask->op, ask->request, &err) == -1)
		say(ask,
		    err.kind == ERR_INPUT ? MHD_HTTP_BAD_REQUEST
		                          : MHD_HTTP_SERVICE_UNAVAILABLE,
		    false, err.text);
}

static void
get_history(struct ask *ask)
{
	struct err err = ERR_INIT;

	if (status_history(ask->op, ask->request, &err) == -1)
		say(ask,
		    err.kind == ERR_INPUT ? MHD_HTTP_BAD_REQUEST
		                          : MHD_HTTP_SERVICE_UNAVAILABLE,
		    false, err.text);
}

static void
get_scaler(struct ask *ask)
{
	scaler_write(ask->op, ask->request);
}

static void
get_diff(struct ask *ask)
{
	status_diff(ask->op, &ask->request->out);
}

static void
get_plan(struct ask *ask)
{
	preview_write(ask->op, ask->op->intent, &ask->request->out);
}

/* --- answers that come later --------------------------------------------- */

static void
foresee(void *arg, struct intent *intent, const struct buffer *why)
{
	struct foreseen *foreseen = arg;
	struct ask ask = {
	    .op = foreseen->control->op, .request = foreseen->request};

	if (intent == NULL)
		say(&ask, MHD_HTTP_CONFLICT, false, why->data);
	else
		preview_write(ask.op, intent, &ask.request->out);
	intent_free(intent);
	if (foreseen->next != NULL)
		foreseen->next->before = foreseen->before;
	*foreseen->before = foreseen->next;
	http_answer_deferred(foreseen->request);
	free(foreseen);
}

/* Of a file: reading it may run a `command:`, and our eyes see more than the
 * asker's. */
static void
post_plan(struct ask *ask)
{
	struct control *control = ask->op->control;
	const struct reading_of of = {
	    .path = argument(ask, "file"),
	    .environment = ask->op->environment,
	    .secrets = ask->op->secrets,
	    .key = &ask->op->key,
	};
	struct err err = ERR_INIT;

	if (of.path == NULL || *of.path != '/') {
		say(ask, MHD_HTTP_BAD_REQUEST, false,
		    "which file? an absolute path");
		return;
	}
	struct foreseen *foreseen = calloc(1, sizeof(*foreseen));

	if (foreseen != NULL)
		foreseen->reading =
		    reading_start(&ask->op->loop, &of, foresee, foreseen, &err);
	if (foreseen == NULL || foreseen->reading == NULL) {
		say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, err.text);
		free(foreseen);
		return;
	}
	/* Its path is the request's, which lives until it is answered. */
	foreseen->request = http_defer(ask->request);
	if (foreseen->request == NULL) {
		reading_cancel(foreseen->reading);
		free(foreseen);
		say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, "no memory");
		return;
	}
	foreseen->control = control;
	foreseen->next = control->foreseen;
	foreseen->before = &control->foreseen;
	if (foreseen->next != NULL)
		foreseen->next->before = &foreseen->next;
	control->foreseen = foreseen;
}

static void
order(struct ask *ask, enum wire_type type, const char *name, int32_t replica)
{
	struct err err = ERR_INIT;

	if (wire_client_order(&ask->op->init, type, name, replica, 0, &err) ==
	    -1)
		say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, err.text);
	else
		say(ask, MHD_HTTP_ACCEPTED, true, "ordered");
}

/* A whole worker is rolled, by a new generation in the plan, so that a restart
 * of the operator doesn't forget it. One replica is restarted at once. */
static void
post_restart(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	const char *all = argument(ask, "all");

	if (all != NULL) {
		for (size_t i = 0; i < ask->op->ntracked; i++)
			ask->op->tracked[i].generation++;
		operator_wake(ask->op, 0);
		say(ask, MHD_HTTP_ACCEPTED, true,
		    "every worker is restarted, one after the other");
		return;
	}
	struct running_worker *worker = worker_meant(ask, &replica);

	if (worker == NULL)
		return;
	if (replica >= 0) {
		order(ask, WIRE_RESTART, worker->wire.name, replica);
		return;
	}
	if (ask->op->intent == NULL) {
		say(ask, MHD_HTTP_CONFLICT, false, "no manifest is in force");
		return;
	}
	operator_track(ask->op, worker->wire.name)->generation++;
	operator_wake(ask->op, 0);
	say(ask, MHD_HTTP_ACCEPTED, true,
	    "its replicas are restarted, one after the other");
}

static void
post_stop(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	struct running_worker *worker = worker_meant(ask, &replica);

	if (worker != NULL)
		order(ask, WIRE_STOP, worker->wire.name, replica);
}

static void
post_start(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	struct running_worker *worker = worker_meant(ask, &replica);

	if (worker != NULL)
		order(ask, WIRE_START, worker->wire.name, replica);
}

static void
post_scale(struct ask *ask)
{
	struct operator_core *op = ask->op;
	struct err err = ERR_INIT;
	int32_t replica = WIRE_ALL_REPLICAS;
	int64_t replicas = 0;
	struct running_worker *worker = worker_meant(ask, &replica);

	if (worker == NULL)
		return;
	const char *number = argument(ask, "replicas");
	const struct declared_worker *declared =
	    operator_declared(op, worker->wire.name, NULL);

	if (declared == NULL) {
		say(ask, MHD_HTTP_CONFLICT, false, "it is not declared");
		return;
	}
	if (number == NULL) {
		say(ask, MHD_HTTP_BAD_REQUEST, false, "how many replicas?");
		return;
	}
	if (text_equal(number, "auto")) {
		operator_track(op, worker->wire.name)->scale = -1;
		op->notes_due = true;
		plans_want_another(op);
		say(ask, MHD_HTTP_ACCEPTED, true,
		    declared->scale.queue != NULL ? "by its queue again"
		                                  : "as declared again");
		return;
	}
	if (text_i64(number, 0, WORKER_REPLICAS_MAX, &replicas, &err) == -1) {
		say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return;
	}
	struct tracked *tracked = operator_track(op, worker->wire.name);
	bool by_queue = declared->scale.queue != NULL;

	tracked->scale =
	    replicas == declared->replicas && !by_queue ? -1 : replicas;
	tracked->scale_over = declared->replicas;
	op->notes_due = true;
	plans_want_another(op);
	say(ask, MHD_HTTP_ACCEPTED, true,
	    by_queue ? "until `reeve scale WORKER auto`"
	             : "until the manifest says another number");
}

static void
reloaded(void *arg, bool ok, const char *text)
{
	struct later *later = arg;
	struct ask ask = {.op = later->op, .request = later->request};

	say(&ask, ok ? MHD_HTTP_OK : MHD_HTTP_CONFLICT, ok, text);
	if (ok)
		note_order(&ask, "/reload");
	http_answer_deferred(later->request);
	free(later);
}

static void
after_reading(struct ask *ask, const struct route *route, const char *why,
    reload_done_fn *done)
{
	struct later *later = calloc(1, sizeof(*later));
	struct err err = ERR_INIT;

	if (later != NULL)
		*later = (struct later){.op = ask->op,
		    .request = http_defer(ask->request),
		    .route = route};
	if (later == NULL || later->request == NULL) {
		free(later);
		say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, "no memory");
		return;
	}
	if (operator_reload_then(ask->op, why, done, later, &err) == -1)
		done(later, false, err.text);
}

static void
post_reload(struct ask *ask)
{
	after_reading(ask, NULL, "asked for", reloaded);
}

static void
post_alert_test(struct ask *ask)
{
	const char *name = argument(ask, "receiver");
	char text[160];

	if (alerts_test(&ask->op->alerts, name) > 0) {
		say(ask, MHD_HTTP_ACCEPTED, true,
		    "sent; `receivers` of GET /status says how it went");
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "no receiver '%.63s': 'reeve alert ls' shows them", name);
	say(ask, MHD_HTTP_NOT_FOUND, false, text);
}

static void
post_silence(struct ask *ask)
{
	const char *match = argument(ask, "match");
	const char *reason = argument(ask, "reason");
	const char *length = argument(ask, "for_ms");
	struct ucred peer = {.uid = (uid_t)-1};
	struct silence wanted = {0};
	struct err err = ERR_INIT;
	int64_t for_ms = 0;
	int64_t id = 0;
	size_t count = 0;
	char text[160];

	(void)peer_of(ask, &peer);
	(void)snprintf(wanted.by, sizeof(wanted.by), "uid %d", (int)peer.uid);
	if (text_copy(wanted.match, sizeof(wanted.match),
	        match == NULL ? "" : match, &err) == -1 ||
	    text_copy(wanted.reason, sizeof(wanted.reason),
	        reason == NULL ? "" : reason, &err) == -1 ||
	    text_i64(length == NULL ? "" : length, 1, INT64_MAX, &for_ms,
	        &err) == -1 ||
	    alerts_silence(
	        &ask->op->alerts, &wanted, for_ms, &id, &count, &err) == -1) {
		say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "silence %" PRId64 ": %zu alerts that are known fit now", id,
	    count);
	events_say(ask->op->events, "silence", NULL,
	    "silence %" PRId64 " of '%s' by %s: %s", id, wanted.match,
	    wanted.by, wanted.reason);
	operator_wake(ask->op, 0);
	say(ask, MHD_HTTP_ACCEPTED, true, text);
}

static void
post_unsilence(struct ask *ask)
{
	const char *number = argument(ask, "id");
	struct ucred peer = {.uid = (uid_t)-1};
	int64_t id = 0;
	char text[96];

	(void)peer_of(ask, &peer);
	if (text_i64(number == NULL ? "" : number, 1, INT64_MAX, &id, NULL) ==
	        -1 ||
	    !alerts_unsilence(&ask->op->alerts, id)) {
		(void)snprintf(text, sizeof(text),
		    "no silence '%.20s': 'reeve alert silences' shows them",
		    number == NULL ? "" : number);
		say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return;
	}
	events_say(ask->op->events, "silence-over", NULL,
	    "silence %" PRId64 " was taken back by uid %d", id, (int)peer.uid);
	operator_wake(ask->op, 0);
	say(ask, MHD_HTTP_ACCEPTED, true, "taken back");
}

/* Somebody moved jobs of one of our queues back: worth remembering beside what
 * became of the workers then. */
static void
post_moved(struct ask *ask)
{
	const char *queue = argument(ask, "queue");
	const char *verb = argument(ask, "verb");
	const char *text = argument(ask, "text");
	struct ucred peer = {.uid = (uid_t)-1};

	if (queue == NULL || verb == NULL || text == NULL) {
		say(ask, MHD_HTTP_BAD_REQUEST, false,
		    "of which queue, and what: queue, verb and text");
		return;
	}
	(void)peer_of(ask, &peer);
	events_say(ask->op->events, "queue-moved", NULL,
	    "%.16s of queue '%.63s' by uid %d: %.160s", verb, queue,
	    (int)peer.uid, text);
	say(ask, MHD_HTTP_ACCEPTED, true, "noted");
}

static const struct route routes[] = {
    {"GET", "/status", get_status, false, false, NEEDS_NOTHING},
    {"GET", "/diff", get_diff, false, false, NEEDS_NOTHING},
    {"GET", "/plan", get_plan, false, false, NEEDS_NOTHING},
    {"POST", "/plan", post_plan, true, false, NEEDS_NOTHING},
    {"GET", "/events", get_events, false, false, NEEDS_NOTHING},
    {"GET", "/history", get_history, false, false, NEEDS_NOTHING},
    {"GET", "/scaler", get_scaler, false, false, NEEDS_NOTHING},
    {"POST", "/restart", post_restart, true, true, NEEDS_DECLARED},
    {"POST", "/stop", post_stop, true, true, NEEDS_RUNNING},
    {"POST", "/start", post_start, true, true, NEEDS_RUNNING},
    {"POST", "/scale", post_scale, true, true, NEEDS_DECLARED},
    {"POST", "/reload", post_reload, true, true, NEEDS_NOTHING},
    {"POST", "/alert-test", post_alert_test, true, true, NEEDS_NOTHING},
    {"POST", "/silence", post_silence, true, false, NEEDS_NOTHING},
    {"POST", "/unsilence", post_unsilence, true, false, NEEDS_NOTHING},
    {"POST", "/moved", post_moved, true, false, NEEDS_NOTHING},
};

/* --- which it is -------------------------------------------------------- */

static void
run(struct ask *ask, const struct route *one)
{
	one->run(ask);
	if (one->order && !ask->request->deferred &&
	    ask->request->status < MHD_HTTP_MULTIPLE_CHOICES)
		note_order(ask, one->path);
}

/* Whether it could be or not, the order itself says what it lacks. */
static void
manifest_read(void *arg, bool ok, const char *text)
{
	struct later *later = arg;
	struct ask ask = {.op = later->op, .request = later->request};

	(void)ok;
	(void)text;
	run(&ask, later->route);
	http_answer_deferred(later->request);
	free(later);
}

static bool
is_too_early(const struct operator_core *op, enum needs needs)
{
	return needs != NEEDS_NOTHING &&
	       (!op->running.known ||
	           (needs == NEEDS_DECLARED && op->intent == NULL));
}

static void
route(struct ask *ask, const char *method, const char *path)
{
	bool exists = false;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const struct route *one = &routes[i];
		if (!text_equal(one->path, path))
			continue;
		exists = true;
		if (!text_equal(one->method, method))
			continue;
		if (one->guarded && !may_change(ask))
			say(ask, MHD_HTTP_FORBIDDEN, false,
			    "only root, the supervisor's user and its control "
			    "group may change things");
		else if (is_too_early(ask->op, one->needs))
			after_reading(ask, one, "an order", manifest_read);
		else
			run(ask, one);
		return;
	}
	if (exists)
		say(ask, MHD_HTTP_METHOD_NOT_ALLOWED, false,
		    "not with this method");
	else
		say(ask, MHD_HTTP_NOT_FOUND, false,
		    "GET /status /diff /plan /events, POST /plan /restart /stop "
		    "/start /scale /reload /alert-test /silence /unsilence "
		    "/moved");
}

static void
answer(void *arg, struct http_request *request)
{
	struct control *control = arg;
	struct ask ask = {.op = control->op, .request = request};

	route(&ask, request->method, request->path);
}

/* --- life ------------------------------------------------------------- */

static bool
is_path(const struct control *control)
{
	return control->address.sun_path[0] != '\0';
}

static int
start_listening(struct control *control, int fd, struct err *err)
{
	struct place_socket place = {.dir = ""};
	const struct operator_core *op = control->op;

	if (text_copy(place.dir, sizeof(place.dir), op->socket_dir, err) ==
	        -1 ||
	    text_copy(place.name, sizeof(place.name), op->name, err) == -1 ||
	    place_address(&place, PLACE_OPERATOR_SOCKET, &control->address,
	        &control->address_len, err) == -1)
		return -1;
	/* A socket that is there is our predecessor's, which is dead: the init
	 * starts one of us at a time. One that lives is another supervisor's.
	 */
	if (is_path(control) &&
	    !place_lives(&control->address, control->address_len, SOCK_STREAM))
		(void)unlink(control->address.sun_path);
	if (bind(fd, (struct sockaddr *)&control->address,
	        control->address_len) == -1 ||
	    listen(fd, BACKLOG) == -1)
		return err_sys(err, "control socket '%s'",
		    control->address.sun_path + (is_path(control) ? 0 : 1));
	/* Whoever reaches the directory may look; changes are authorised. */
	if (is_path(control))
		(void)chmod(control->address.sun_path, 0666);
	return 0;
}

struct control *
control_new(struct operator_core *op, struct err *err)
{
	struct control *control = calloc(1, sizeof(*control));
	struct http_options options = {.connections = CONNECTIONS_MAX};

	if (control == NULL) {
		(void)err_sys(err, "control");
		return NULL;
	}
	control->op = op;
	options.listen_fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (options.listen_fd == -1)
		(void)err_sys(err, "control socket");
	else if (start_listening(control, options.listen_fd, err) == -1)
		fd_close(&options.listen_fd);
	if (options.listen_fd == -1 ||
	    http_open(&control->server, &op->loop, &options, answer, control,
	        err) == -1) {
		control_free(control);
		return NULL;
	}
	return control;
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	struct foreseen *next = NULL;
	struct buffer why;

	buffer_init(&why, 0);
	for (struct foreseen *one = control->foreseen; one != NULL;
	     one = next) {
		next = one->next;
		reading_cancel(one->reading);
		foresee(one, NULL, &why);
	}
	http_close(&control->server);
	free(control);
}
