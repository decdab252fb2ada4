/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "worker/reference/health.h"

enum {
	BODY_MAX = 2048,
	CONNECTIONS_MAX = 16,
	CONNECTION_TIMEOUT_S = 5,
	CONNECTION_MEMORY = 16 << 10
};

static bool
healthy(struct health *health, int64_t *ret_age_ms)
{
	*ret_age_ms = clock_ms() - atomic_load(&health->turned_ms);
	return *ret_age_ms < HEALTH_STALE_MS && atomic_load(&health->reachable);
}

static void
write_body(struct health *health, bool ok, int64_t age_ms, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.worker-health/1");
	jsonw_bool(&json, "ok", ok);
	jsonw_i64(&json, "turn_age_ms", age_ms);
	jsonw_bool(&json, "queue_reachable", atomic_load(&health->reachable));
	jsonw_bool(&json, "draining", atomic_load(&health->draining));
	jsonw_i64(&json, "running", atomic_load(&health->running));
	jsonw_i64(&json, "done", (int64_t)atomic_load(&health->done));
	jsonw_i64(&json, "failed", (int64_t)atomic_load(&health->failed));
	jsonw_i64(&json, "dead", (int64_t)atomic_load(&health->dead));
	jsonw_i64(&json, "lost", (int64_t)atomic_load(&health->lost));
	jsonw_end(&json);
	buffer_text(out, "\n");
}

/* NOLINTBEGIN(readability-function-size): the library's own signature */
static enum MHD_Result
answer(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload,
    size_t *upload_len, void **state)
{
	struct health *health = arg;
	unsigned status = MHD_HTTP_NOT_FOUND;
	struct buffer body;

	(void)version;
	(void)upload;
	(void)state;
	if (*upload_len > 0) { /* not ours; read and thrown away */
		*upload_len = 0;
		return MHD_YES;
	}
	buffer_init(&body, BODY_MAX);
	if (!text_equal(method, "GET") && !text_equal(method, "HEAD")) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
	} else if (text_equal(url, "/health")) {
		int64_t age_ms = 0;
		bool ok = healthy(health, &age_ms);

		status = ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
		write_body(health, ok, age_ms, &body);
	}
	struct MHD_Response *response = MHD_create_response_from_buffer(
	    body.len, body.data, MHD_RESPMEM_MUST_COPY);

	buffer_fini(&body);
	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(
	    response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	enum MHD_Result queued =
	    MHD_queue_response(connection, status, response);

	MHD_destroy_response(response);
	return queued;
}
/* NOLINTEND(readability-function-size) */

int
health_start(struct health *health, const char *address, struct err *err)
{
	struct sockaddr_storage where;
	socklen_t len = 0;

	if (address_parse(address, &where, &len, err) == -1)
		return -1;
	unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD;

	if (where.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	health->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, health,
	    MHD_OPTION_SOCK_ADDR, &where, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (health->daemon == NULL)
		return err_sys(err, "listen on %s", address);
	return 0;
}

void
health_stop(struct health *health)
{
	if (health->daemon != NULL)
		MHD_stop_daemon(health->daemon);
	health->daemon = NULL;
}
