/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
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
#include "supervisor/operator/ask.h"
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
	ROUTES_TEXT_MAX = 1024,
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

/* --- what may be looked at ----------------------------------------------- */

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
		ask_say(ask,
		    err.kind == ERR_INPUT ? MHD_HTTP_BAD_REQUEST
		                          : MHD_HTTP_SERVICE_UNAVAILABLE,
		    false, err.text);
}

static void
get_history(struct ask *ask)
{
	struct err err = ERR_INIT;

	if (status_history(ask->op, ask->request, &err) == -1)
		ask_say(ask,
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
		ask_say(&ask, MHD_HTTP_CONFLICT, false, why->data);
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
	    .path = ask_argument(ask, "file"),
	    .environment = ask->op->environment,
	    .secrets = ask->op->secrets,
	    .key = &ask->op->key,
	};
	struct err err = ERR_INIT;

	if (of.path == NULL || *of.path != '/') {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false,
		    "which file? an absolute path");
		return;
	}
	struct foreseen *foreseen = calloc(1, sizeof(*foreseen));

	if (foreseen != NULL)
		foreseen->reading =
		    reading_start(&ask->op->loop, &of, foresee, foreseen, &err);
	if (foreseen == NULL || foreseen->reading == NULL) {
		ask_say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, err.text);
		free(foreseen);
		return;
	}
	/* Its path is the request's, which lives until it is answered. */
	foreseen->request = http_defer(ask->request);
	if (foreseen->request == NULL) {
		reading_cancel(foreseen->reading);
		free(foreseen);
		ask_say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, "no memory");
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
reloaded(void *arg, bool ok, const char *text)
{
	struct later *later = arg;
	struct ask ask = {.op = later->op, .request = later->request};

	ask_say(&ask, ok ? MHD_HTTP_OK : MHD_HTTP_CONFLICT, ok, text);
	if (ok)
		ask_note_order(&ask, "/reload");
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
		ask_say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, "no memory");
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

static const struct route routes[] = {
    {"GET", "/status", get_status, false, false, NEEDS_NOTHING},
    {"GET", "/diff", get_diff, false, false, NEEDS_NOTHING},
    {"GET", "/plan", get_plan, false, false, NEEDS_NOTHING},
    {"POST", "/plan", post_plan, true, false, NEEDS_NOTHING},
    {"GET", "/events", get_events, false, false, NEEDS_NOTHING},
    {"GET", "/history", get_history, false, false, NEEDS_NOTHING},
    {"GET", "/scaler", get_scaler, false, false, NEEDS_NOTHING},
    {"POST", "/restart", order_restart, true, true, NEEDS_DECLARED},
    {"POST", "/stop", order_stop, true, true, NEEDS_RUNNING},
    {"POST", "/start", order_start, true, true, NEEDS_RUNNING},
    {"POST", "/scale", order_scale, true, true, NEEDS_DECLARED},
    {"POST", "/reload", post_reload, true, true, NEEDS_NOTHING},
    {"POST", "/alert-test", order_alert_test, true, true, NEEDS_NOTHING},
    {"POST", "/silence", order_silence, true, false, NEEDS_NOTHING},
    {"POST", "/unsilence", order_unsilence, true, false, NEEDS_NOTHING},
    {"POST", "/moved", order_moved, true, false, NEEDS_NOTHING},
};

/* --- which it is -------------------------------------------------------- */

static void
run(struct ask *ask, const struct route *one)
{
	one->run(ask);
	if (one->order && !ask->request->deferred &&
	    ask->request->status < MHD_HTTP_MULTIPLE_CHOICES)
		ask_note_order(ask, one->path);
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
say_routes(struct ask *ask, unsigned status, const char *why)
{
	struct buffer text;

	buffer_init(&text, ROUTES_TEXT_MAX);
	buffer_format(&text, "%s; there are", why);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		buffer_format(&text, "%s %s %s", i == 0 ? "" : ",",
		    routes[i].method, routes[i].path);
	ask_say(ask, status, false, text.data);
	buffer_fini(&text);
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
		if (one->guarded && !ask_may_change(ask))
			ask_say(ask, MHD_HTTP_FORBIDDEN, false,
			    "only root, the supervisor's user and its control "
			    "group may change things");
		else if (is_too_early(ask->op, one->needs))
			after_reading(ask, one, "an order", manifest_read);
		else
			run(ask, one);
		return;
	}
	if (exists)
		say_routes(ask, MHD_HTTP_METHOD_NOT_ALLOWED, "not that way");
	else
		say_routes(ask, MHD_HTTP_NOT_FOUND, "no such path");
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
