/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>

#include "base/text.h"
#include "supervisor/operator/ask.h"
#include "supervisor/operator/operator.h"

void
ask_say(struct ask *ask, unsigned status, bool ok, const char *text)
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

const char *
ask_argument(const struct ask *ask, const char *key)
{
	return http_argument(ask->request, key);
}

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

uid_t
ask_uid(const struct ask *ask)
{
	struct ucred peer = {.uid = (uid_t)-1};

	(void)peer_of(ask, &peer);
	return peer.uid;
}

bool
ask_may_change(const struct ask *ask)
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

void
ask_note_order(const struct ask *ask, const char *path)
{
	const char *replica = ask_argument(ask, "replica");
	const char *replicas = ask_argument(ask, "replicas");

	events_say(ask->op->events, "order", ask_argument(ask, "worker"),
	    "%s%s%.8s%s%.8s by uid %d", path + 1,
	    replica == NULL ? "" : " replica ", replica == NULL ? "" : replica,
	    replicas == NULL ? "" : " to ", replicas == NULL ? "" : replicas,
	    (int)ask_uid(ask));
}

struct running_worker *
ask_worker(struct ask *ask, int32_t *ret_replica)
{
	const char *name = ask_argument(ask, "worker");
	const char *replica = ask_argument(ask, "replica");
	struct err err = ERR_INIT;
	char text[128];
	int64_t index = WIRE_ALL_REPLICAS;

	if (name == NULL || *name == '\0') {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false, "which worker?");
		return NULL;
	}
	struct running_worker *worker = running_find(&ask->op->running, name);

	if (worker == NULL) {
		(void)snprintf(text, sizeof(text), "no worker '%.63s'", name);
		ask_say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return NULL;
	}
	if (replica != NULL &&
	    text_i64(replica, 0, WORKER_REPLICAS_MAX, &index, &err) == -1) {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return NULL;
	}
	if (index >= 0 &&
	    running_instance_find(worker, (uint32_t)index) == NULL) {
		(void)snprintf(text, sizeof(text), "'%.63s' has no replica %d",
		    name, (int)index);
		ask_say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return NULL;
	}
	*ret_replica = (int32_t)index;
	return worker;
}
