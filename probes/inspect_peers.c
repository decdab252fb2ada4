/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/connections.h"
#include "probes/inspection.h"

enum {
	PEERS_MAX = 32, /* told of one target */
	PEERS_FIRST = 1024,
};

struct peer {
	uint64_t inode;
	struct connection_end remote;
};

static int
by_inode(const void *a, const void *b)
{
	const struct peer *x = a;
	const struct peer *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void
keep_peer(void *arg, const struct connection *one)
{
	struct inspection *inspection = arg;

	if (!one->established)
		return;
	if (inspection->npeers == inspection->peers_room) {
		size_t room =
		    MAX(2 * inspection->peers_room, (size_t)PEERS_FIRST);
		struct peer *more =
		    reallocarray(inspection->peers, room, sizeof(*more));
		if (more == NULL)
			return;
		inspection->peers = more;
		inspection->peers_room = room;
	}
	inspection->peers[inspection->npeers++] =
	    (struct peer){one->inode, one->remote};
}

/* Read once, when the first target asks. */
static bool
read_peers(struct inspection *inspection)
{
	struct err err = ERR_INIT;

	if (inspection->peers_read == RESULT_UNKNOWN) {
		inspection->peers_read =
		    connections_each(keep_peer, inspection, &err) == 0
		        ? RESULT_PASSED
		        : RESULT_FAILED;
		if (inspection->npeers > 0)
			qsort(inspection->peers, inspection->npeers,
			    sizeof(*inspection->peers), by_inode);
	}
	return inspection->peers_read == RESULT_PASSED;
}

struct telling {
	struct inspection *inspection;
	struct connection_end told[PEERS_MAX];
	size_t count;
};

static void
tell_peer(void *arg, int fd, uint64_t inode)
{
	(void)fd;
	struct telling *telling = arg;
	struct inspection *inspection = telling->inspection;
	const struct peer wanted = {.inode = inode};
	const struct peer *peer =
	    inspection->npeers == 0
	        ? NULL
	        : bsearch(&wanted, inspection->peers, inspection->npeers,
	              sizeof(*inspection->peers), by_inode);

	if (peer == NULL || telling->count == PEERS_MAX)
		return;
	for (size_t i = 0; i < telling->count; i++)
		if (memcmp(&telling->told[i], &peer->remote,
		        sizeof(peer->remote)) == 0)
			return;
	telling->told[telling->count++] = peer->remote;
	jsonw_text(inspection->json, NULL,
	    connection_end_text(&inspection->arena, &peer->remote));
}

void
inspect_tell_peers(
    struct inspection *inspection, const cJSON *target, int64_t pid)
{
	struct telling telling = {.inspection = inspection};

	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(target, "peers")))
		return;
	/* All of its session or nothing: what one of its processes hides could
	 * be the connection that counts. */
	bool seen = read_peers(inspection);
	for (size_t i = 0; seen && i < inspection->count; i++) {
		char path[INSPECT_PATH_SIZE];
		if (inspection->all[i].session != pid)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd",
		    inspection->all[i].pid);
		seen = access(path, R_OK | X_OK) == 0 || errno == ENOENT;
	}
	if (!seen) {
		jsonw_null(inspection->json, "peers");
		return;
	}
	jsonw_array(inspection->json, "peers");
	for (size_t i = 0; i < inspection->count; i++)
		if (inspection->all[i].session == pid)
			(void)connections_of(
			    inspection->all[i].pid, tell_peer, &telling);
	jsonw_end(inspection->json);
}
