/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/look.h"
#include "probes/queue/amqp.h"

/*
 * Kind "amqp": connect, log in to the vhost; with "queue" and "exchange"
 * whether they exist (passive declares, which make nothing). Facts: ready,
 * consumers.
 */

static void
trouble_is(struct look *look, const struct amqp_trouble *trouble,
    const struct err *err)
{
	if (trouble->code[0] == '\0')
		look_unknown(look, trouble->cause, "", "%s", err->text);
	else
		look_failed(
		    look, trouble->cause, trouble->code, "%s", err->text);
}

static int
look_at_queue(struct look *look, struct amqp_session *amqp, const char *queue)
{
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};
	struct err err = ERR_INIT;

	if (amqp_session_depth(amqp, queue, &depth, &trouble, &err) == -1) {
		trouble_is(look, &trouble, &err);
		return -1;
	}
	look_note(look, "ready", "%lld", (long long)depth.ready);
	look_note(look, "consumers", "%lld", (long long)depth.consumers);
	look_passed(look, "queue %s: %lld ready, %lld consumers", queue,
	    (long long)depth.ready, (long long)depth.consumers);
	return 0;
}

void
probe_amqp(struct look *look)
{
	struct amqp_session *amqp = NULL;
	struct amqp_trouble trouble = {0};
	struct err err = ERR_INIT;
	const char *url = NULL;
	const char *queue = NULL;
	const char *exchange = NULL;

	if (look_need(look, "url", &url) == -1 ||
	    look_text(look, "queue", NULL, &queue) == -1 ||
	    look_text(look, "exchange", NULL, &exchange) == -1)
		return;
	look_url(look, url);
	if (amqp_session_open(url, &look->ladder, &amqp) == -1) {
		look_ladder_failed(look);
		return;
	}
	amqp_session_deadline(amqp, look->ladder.deadline_ms);
	look_passed(look, "logged in at %s, vhost %s",
	    amqp_session_address(amqp), amqp_session_vhost(amqp));
	ladder_begin(&look->ladder, STEP_QUERY, "");
	if ((queue == NULL || look_at_queue(look, amqp, queue) == 0) &&
	    exchange != NULL &&
	    amqp_session_exchange(amqp, exchange, &trouble, &err) == -1)
		trouble_is(look, &trouble, &err);
	amqp_session_close(amqp);
}
