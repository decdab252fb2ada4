/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/look.h"
#include "probes/queue/nats.h"

/*
 * Kind "nats": connect, log in; with "stream" whether it exists, with
 * "natsSubject" which stream stores what is published to it. As a stage, with a
 * canary: whether the last message of that subject is the canary's (its data or
 * its subject holds the id). Facts: server, stream, messages.
 */

static void
trouble(struct look *look, const struct nats_call *call, const struct err *err)
{
	if (call->cause == CAUSE_SILENT || call->cause == CAUSE_UNAVAILABLE)
		look_unknown(look, call->cause, call->code, "%s", err->text);
	else
		look_failed(look, call->cause, call->code, "%s", err->text);
}

static int
look_at_stream(struct look *look, struct nats_session *nats, const char *name)
{
	struct nats_call call = {.deadline_ms = look->ladder.deadline_ms};
	const struct nats_refusal *refusal = &call.refusal;
	struct nats_stream stream = {0};
	struct err err = ERR_INIT;
	CLEANUP(json_free) cJSON *answer = NULL;

	if (strpbrk(name, ". *>\t\r\n") != NULL) {
		look_failed(look, CAUSE_URL, "",
		    "'%.60s' is no stream's name: it holds no dot, space, '*' "
		    "or '>'",
		    name);
		return -1;
	}
	if (nats_api(nats, arena_format(look->arena, "STREAM.INFO.%s", name),
	        "", &call, &answer, &err) == -1) {
		trouble(look, &call, &err);
		return -1;
	}
	if (refusal->err_code != 0) {
		look_failed(look, CAUSE_NOT_FOUND,
		    arena_format(
		        look->arena, "%lld", (long long)refusal->err_code),
		    "stream '%s': %s", name, refusal->description);
		return -1;
	}
	if (nats_stream_of(look->arena, answer, &stream, &err) == -1) {
		look_failed(look, CAUSE_WRONG_TYPE, "", "stream '%s': %s", name,
		    err.text);
		return -1;
	}
	look_note(look, "messages", "%lld", (long long)stream.messages);
	look_passed(look, "stream %s holds %lld messages", name,
	    (long long)stream.messages);
	return 0;
}

/* Has the stream a last message of this subject that is the canary's? */
static void
look_for_canary(struct look *look, struct nats_session *nats,
    const char *stream, const char *subject)
{
	struct nats_call call = {.deadline_ms = look->ladder.deadline_ms};
	const struct nats_refusal *refusal = &call.refusal;
	struct nats_message message = {0};
	struct err err = ERR_INIT;
	CLEANUP(json_free) cJSON *answer = NULL;

	if (nats_api(nats,
	        arena_format(look->arena, "STREAM.MSG.GET.%s", stream),
	        nats_wanted(look->arena, -1, "last_by_subj", subject), &call,
	        &answer, &err) == -1) {
		trouble(look, &call, &err);
	} else if (refusal->err_code != 0) {
		look_failed(look, CAUSE_NOT_FOUND, "", "subject '%s': %s",
		    subject, refusal->description);
	} else if (nats_message_of(look->arena, answer, &message, &err) == -1) {
		look_failed(look, CAUSE_WRONG_TYPE, "", "%s", err.text);
	} else if (strstr(subject, look->canary) == NULL &&
	           memmem(message.data, message.len, look->canary,
	               strlen(look->canary)) == NULL) {
		look_failed(look, CAUSE_MISMATCH, "",
		    "the last message of subject '%s' is another's", subject);
	} else {
		look_passed(look, "stream %s holds it, sequence %lld", stream,
		    (long long)message.seq);
	}
}

static void
look_at_subject(struct look *look, struct nats_session *nats,
    const char *subject, const char *stream)
{
	struct nats_call call = {.deadline_ms = look->ladder.deadline_ms};
	struct err err = ERR_INIT;
	const char *stored = NULL;

	if (nats_resolve(nats, subject, &call, look->arena, &stored, &err) ==
	    -1) {
		trouble(look, &call, &err);
		return;
	}
	if (stored == NULL) {
		look_failed(look, CAUSE_NOT_FOUND, "",
		    "subject '%s' is stored by no stream: what is published to "
		    "it is lost",
		    subject);
		return;
	}
	look_note(look, "stream", "%s", stored);
	if (stream != NULL && !text_equal(stream, stored))
		look_failed(look, CAUSE_MISMATCH, "",
		    "subject '%s' is stored by stream '%s', not by '%s'",
		    subject, stored, stream);
	else if (look->canary != NULL)
		look_for_canary(look, nats, stored, subject);
	else
		look_passed(
		    look, "subject %s is stored by stream %s", subject, stored);
}

void
probe_nats(struct look *look)
{
	struct nats_session *nats = NULL;
	const char *url = NULL;
	const char *stream = NULL;
	const char *subject = NULL;

	if (look_need(look, "url", &url) == -1 ||
	    look_text(look, "stream", NULL, &stream) == -1 ||
	    look_text(look, "natsSubject", NULL, &subject) == -1)
		return;
	look_url(look, url);
	if (nats_session_open(url, NULL, &look->ladder, &nats) == -1) {
		look_ladder_failed(look);
		return;
	}
	const struct nats_server *server = nats_session_server(nats);

	look->out.identity = arena_text(look->arena, server->id);
	look_note(look, "server", "%s", server->version);
	look_passed(look, "nats-server %s at %s", server->version,
	    nats_session_address(nats));
	ladder_begin(&look->ladder, STEP_QUERY, "");
	if ((stream == NULL || look_at_stream(look, nats, stream) == 0) &&
	    subject != NULL)
		look_at_subject(
		    look, nats, look_canary(look, subject, false), stream);
	nats_session_close(nats);
}
