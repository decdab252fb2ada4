/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/jsonw.h"
#include "base/text.h"
#include "cli/answer.h"
#include "cli/control.h"
#include "supervisor/wire/status_encode.h"

/* What `reeve status` can say while the operator is ill: the snapshot that the
 * init sends, in the same words. */

/* A snapshot has all workers first, then all instances. */
struct rebuilt {
	struct arena arena;
	struct wire_snapshot snapshot;
	struct wire_worker *workers;
	struct wire_instance *instances;
	size_t nworkers, ninstances;
};

static void
rebuild(void *arg, const union wire_message *message)
{
	struct rebuilt *rebuilt = arg;

	switch (message->head.type) {
	case WIRE_SNAPSHOT_BEGIN:
		rebuilt->snapshot = message->snapshot;
		rebuilt->workers = arena_array(&rebuilt->arena,
		    (size_t)message->snapshot.workers + 1,
		    sizeof(*rebuilt->workers));
		rebuilt->instances = arena_array(&rebuilt->arena,
		    (size_t)message->snapshot.instances + 1,
		    sizeof(*rebuilt->instances));
		break;
	case WIRE_WORKER:
		if (rebuilt->nworkers < rebuilt->snapshot.workers)
			rebuilt->workers[rebuilt->nworkers++] = message->worker;
		break;
	case WIRE_INSTANCE:
		if (rebuilt->ninstances < rebuilt->snapshot.instances)
			rebuilt->instances[rebuilt->ninstances++] =
			    message->instance;
		break;
	default: /* its end, and what isn't part of it */
		break;
	}
}

static void
write_worker(const struct rebuilt *rebuilt, struct jsonw *json, size_t at)
{
	const struct wire_worker *wire = &rebuilt->workers[at];

	jsonw_object(json, NULL);
	jsonw_text(json, "name", wire->name);
	jsonw_i64(json, "desired", wire->desired);
	jsonw_i64(json, "ready", wire->ready);
	jsonw_i64(json, "generation", (int64_t)wire->generation);
	jsonw_bool(json, "stopped", wire->held != 0);
	status_schedule(json, wire);
	jsonw_array(json, "instances");
	for (size_t i = 0; i < rebuilt->ninstances; i++)
		if (text_equal(rebuilt->instances[i].name, wire->name))
			status_instance(json, &rebuilt->instances[i]);
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_rebuilt(const struct rebuilt *rebuilt, struct jsonw *json)
{
	const struct wire_snapshot *snapshot = &rebuilt->snapshot;

	jsonw_object(json, NULL);
	jsonw_text(json, "schema", "reeve.status/1");
	jsonw_text(json, "name", snapshot->name);
	jsonw_object(json, "operator");
	if (snapshot->operator_pid > 0)
		jsonw_i64(json, "pid", snapshot->operator_pid);
	else
		jsonw_null(json, "pid");
	jsonw_text(json, "state",
	    wire_operator_name((enum wire_operator)snapshot->operator_state));
	jsonw_text(
	    json, "why", "it does not answer; this is what the init knows");
	jsonw_i64(json, "restarts", snapshot->operator_restarts);
	jsonw_end(json);
	jsonw_object(json, "init");
	jsonw_i64(json, "pid", snapshot->init_pid);
	status_cgroup(json, snapshot);
	status_files(json, snapshot);
	jsonw_end(json);
	jsonw_array(json, "workers");
	for (size_t i = 0; i < rebuilt->nworkers; i++)
		write_worker(rebuilt, json, i);
	jsonw_end(json);
	jsonw_null(json, "queues");
	jsonw_bool(json, "drift_known", false);
	jsonw_null(json, "drift");
	jsonw_null(json, "alerts");
	jsonw_end(json);
}

int
control_init_status(struct cli *cli, struct control_client *client,
    struct buffer *out, struct err *err)
{
	struct jsonw json;
	struct rebuilt rebuilt = {.nworkers = 0};

	arena_init(&rebuilt.arena, ANSWER_MAX);
	int rc = wire_client_snapshot(
	    &client->init, rebuild, &rebuilt, cli->deadline_ms, err);

	if (rc == 0) {
		jsonw_init(&json, out, true);
		write_rebuilt(&rebuilt, &json);
		buffer_text(out, "\n");
	}
	arena_fini(&rebuilt.arena);
	return rc;
}
