/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "cli/control.h"

/* Whether the worker that a command names is there; if not, which is. */

struct sought {
	struct arena *arena;
	const char *worker;
	int64_t replica;
	int replicas;
	bool found, replica_found;
	const char **names;
	size_t count, max;
};

static void
look(void *arg, const union wire_message *message)
{
	struct sought *sought = arg;

	if (message->head.type == WIRE_SNAPSHOT_BEGIN &&
	    sought->names == NULL) {
		sought->max = message->snapshot.workers;
		sought->names = arena_array(
		    sought->arena, sought->max + 1, sizeof(*sought->names));
	} else if (message->head.type == WIRE_WORKER) {
		if (text_equal(message->worker.name, sought->worker))
			sought->found = true;
		if (sought->count < sought->max)
			sought->names[sought->count++] =
			    arena_text(sought->arena, message->worker.name);
	} else if (message->head.type == WIRE_INSTANCE &&
	           text_equal(message->instance.name, sought->worker)) {
		sought->replicas++;
		sought->replica_found =
		    sought->replica_found ||
		    message->instance.replica == sought->replica;
	}
}

static const char *
all_names(const struct sought *sought)
{
	const char *text = "";

	for (size_t i = 0; i < MIN(sought->count, (size_t)8); i++)
		text = arena_format(sought->arena, "%s%s%s", text,
		    i == 0 ? "" : ", ", sought->names[i]);
	return sought->count > 8 ? arena_format(sought->arena, "%s…", text)
	                         : text;
}

int
control_meant(struct cli *cli, struct control_client *client,
    const char *worker, int32_t replica)
{
	struct sought sought = {
	    .arena = &cli->arena,
	    .worker = worker,
	    .replica = replica,
	};
	struct err err = ERR_INIT;

	if (wire_client_snapshot(
	        &client->init, look, &sought, cli->deadline_ms, &err) == -1)
		return cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	const char *near = text_nearest(worker, sought.names, sought.count);

	if (!sought.found && near != NULL)
		return cli_fail(cli, EXIT_NOTHING,
		    "no worker '%s'; did you mean '%s'?", worker, near);
	if (!sought.found)
		return cli_fail(cli, EXIT_NOTHING, "no worker '%s'; %s%s",
		    worker, sought.count == 0 ? "there is none" : "there are ",
		    all_names(&sought));
	if (replica != WIRE_ALL_REPLICAS && !sought.replica_found)
		return cli_fail(cli, EXIT_NOTHING,
		    "'%s' has no replica %d: it has %d, counted from 0", worker,
		    (int)replica, sought.replicas);
	return EXIT_PASSED;
}
