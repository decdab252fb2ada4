/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "supervisor/wire/messages.h"

static_assert(sizeof(union wire_message) <= WIRE_MESSAGE_MAX, "fits a packet");
static_assert(
    sizeof(struct wire_order) ==
        sizeof(struct wire_head) + WORKER_NAME_MAX + 1 + 2 * sizeof(int32_t),
    "no padding that would leak");

/* A text of a message that must be terminated within its array. */
struct text_field {
	uint16_t offset, size;
};

#define TEXT(type, member)                                \
	{                                                 \
		offsetof(struct type, member),            \
		    sizeof(((struct type *)NULL)->member) \
	}

static const struct shape {
	uint16_t length;
	struct text_field texts[4];
} shapes[] = {
    [WIRE_HELLO] = {sizeof(struct wire_hello),
        {TEXT(wire_hello, version), TEXT(wire_hello, name),
            TEXT(wire_hello, socket_dir)}},
    [WIRE_SNAPSHOT_BEGIN] = {sizeof(struct wire_snapshot),
        {TEXT(wire_snapshot, name), TEXT(wire_snapshot, operator_text),
            TEXT(wire_snapshot, cgroup_why)}},
    [WIRE_WORKER] = {sizeof(struct wire_worker),
        {TEXT(wire_worker, name), TEXT(wire_worker, schedule)}},
    [WIRE_INSTANCE] = {sizeof(struct wire_instance),
        {TEXT(wire_instance, name), TEXT(wire_instance, probe_text),
            TEXT(wire_instance, wait_text), TEXT(wire_instance, status_text)}},
    [WIRE_SNAPSHOT_END] = {sizeof(struct wire_snapshot),
        {TEXT(wire_snapshot, name), TEXT(wire_snapshot, operator_text),
            TEXT(wire_snapshot, cgroup_why)}},
    [WIRE_NOTE] = {sizeof(struct wire_text),
        {TEXT(wire_text, event), TEXT(wire_text, text)}},
    [WIRE_RELOAD_WANTED] = {.length = sizeof(struct wire_head)},
    [WIRE_DRAINING] = {sizeof(struct wire_text),
        {TEXT(wire_text, event), TEXT(wire_text, text)}},
    [WIRE_PING] = {.length = sizeof(struct wire_head)},
    [WIRE_EVENT] = {sizeof(struct wire_event), {TEXT(wire_event, name)}},
    [WIRE_REPLY] = {sizeof(struct wire_reply), {TEXT(wire_reply, text)}},
    [WIRE_PONG] = {.length = sizeof(struct wire_head)},
    [WIRE_PLAN] = {.length = sizeof(struct wire_head)},
    [WIRE_GET_PLAN] = {.length = sizeof(struct wire_head)},
    [WIRE_GET_SNAPSHOT] = {.length = sizeof(struct wire_head)},
    [WIRE_START] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_STOP] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_RESTART] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_SCALE] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_SIGNAL] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_LIVE] = {.length = sizeof(struct wire_head)},
    [WIRE_RELOAD] = {.length = sizeof(struct wire_head)},
    [WIRE_WATCH] = {.length = sizeof(struct wire_head)},
    [WIRE_OPERATOR_STATE] = {sizeof(struct wire_text),
        {TEXT(wire_text, event), TEXT(wire_text, text)}},
    [WIRE_SHUTDOWN] = {.length = sizeof(struct wire_head)},
    [WIRE_ALIVE] = {.length = sizeof(struct wire_head)},
    [WIRE_EXTEND] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_GET_OLD_PLAN] = {sizeof(struct wire_order), {TEXT(wire_order, name)}},
    [WIRE_UPGRADE] = {.length = sizeof(struct wire_head)},
    [WIRE_KEEP] = {.length = sizeof(struct wire_head)},
    [WIRE_GET_KEPT] = {.length = sizeof(struct wire_head)},
    [WIRE_EVENTS] = {.length = sizeof(struct wire_since)},
};

size_t
wire_length(enum wire_type type)
{
	return (size_t)type < ARRAY_LEN(shapes) ? shapes[type].length : 0;
}

void
wire_prepare(
    union wire_message *message, enum wire_type type, uint32_t sequence)
{
	message->head = (struct wire_head){.magic = WIRE_MAGIC,
	    .version = WIRE_VERSION,
	    .type = (uint16_t)type,
	    .length = (uint32_t)wire_length(type),
	    .sequence = sequence};
}

static int
check_values(const union wire_message *message, struct err *err)
{
	switch (message->head.type) {
	case WIRE_INSTANCE:
		if (message->instance.state >= INSTANCE_STATES ||
		    message->instance.event >= EVENT_COUNT ||
		    message->instance.why >= WHY_COUNT)
			return err_set(err, ERR_INPUT,
			    "a state, event or reason that doesn't exist");
		return 0;
	case WIRE_EVENT:
		if (message->event.event >= EVENT_COUNT ||
		    message->event.why >= WHY_COUNT)
			return err_set(err, ERR_INPUT,
			    "an event or reason that doesn't exist");
		return 0;
	case WIRE_START:
	case WIRE_STOP:
	case WIRE_RESTART:
	case WIRE_SIGNAL:
		if (message->order.replica < WIRE_ALL_REPLICAS)
			return err_set(err, ERR_INPUT, "replica %d",
			    message->order.replica);
		return 0;
	case WIRE_SCALE:
		if (message->order.value < 0 ||
		    message->order.value > WORKER_REPLICAS_MAX)
			return err_set(err, ERR_INPUT,
			    "%d replicas are not in 0..%d",
			    message->order.value, WORKER_REPLICAS_MAX);
		return 0;
	case WIRE_EXTEND:
		if (message->order.replica < 0 || message->order.value < 0 ||
		    message->order.value > WIRE_EXTEND_MAX_MS)
			return err_set(err, ERR_INPUT,
			    "replica %d, %d ms: not a replica, or not in 0..%d",
			    message->order.replica, message->order.value,
			    WIRE_EXTEND_MAX_MS);
		return 0;
	default: /* not an enum: every other type has nothing to check */
		return 0;
	}
}

int
wire_check(const union wire_message *message, size_t len, struct err *err)
{
	const struct wire_head *head = &message->head;

	if (len < sizeof(*head) || head->magic != WIRE_MAGIC)
		return err_set(err, ERR_INPUT, "not a message of ours");
	if (head->version != WIRE_VERSION)
		return err_set(err, ERR_INPUT, "message version %u",
		    (unsigned)head->version);
	size_t length = wire_length((enum wire_type)head->type);
	if (length == 0)
		return err_set(
		    err, ERR_INPUT, "message type %u", (unsigned)head->type);
	if (head->length != length || len != length)
		return err_set(err, ERR_INPUT,
		    "message type %u has %zu bytes, not %zu",
		    (unsigned)head->type, len, length);
	const struct shape *shape = &shapes[head->type];
	for (size_t i = 0; i < ARRAY_LEN(shape->texts); i++) {
		const char *text =
		    (const char *)message + shape->texts[i].offset;
		size_t size = shape->texts[i].size;
		if (size > 0 && memchr(text, '\0', size) == NULL)
			return err_set(err, ERR_INPUT,
			    "message type %u has a text without end",
			    (unsigned)head->type);
	}
	return check_values(message, err);
}

static const char *const state_names[] = {
    [INSTANCE_NONE] = "none",
    [INSTANCE_PENDING] = "pending",
    [INSTANCE_STARTING] = "starting",
    [INSTANCE_RUNNING] = "running",
    [INSTANCE_READY] = "ready",
    [INSTANCE_STOPPING] = "stopping",
    [INSTANCE_ENDING] = "ending",
    [INSTANCE_KILLING] = "killing",
    [INSTANCE_BACKOFF] = "backoff",
    [INSTANCE_FINISHED] = "finished",
    [INSTANCE_STOPPED] = "stopped",
};
static_assert(ARRAY_LEN(state_names) == INSTANCE_STATES, "every state");

static const char *const event_names[] = {
    [EVENT_NONE] = "none",
    [EVENT_WANTED] = "wanted",
    [EVENT_CLONED] = "cloned",
    [EVENT_CLONE_FAILED] = "clone-failed",
    [EVENT_EXECED] = "execed",
    [EVENT_READY] = "ready",
    [EVENT_UNREADY] = "unready",
    [EVENT_STOP] = "stop",
    [EVENT_KILL] = "kill",
    [EVENT_EXITED] = "exited",
    [EVENT_RETRY] = "retry",
    [EVENT_FINISH] = "finish",
    [EVENT_HELD] = "held",
    [EVENT_FORGET] = "forget",
};
static_assert(ARRAY_LEN(event_names) == EVENT_COUNT, "every event");

static const char *const why_names[] = {
    [WHY_NONE] = "",
    [WHY_ORDER_STOP] = "stopped by order",
    [WHY_ORDER_RESTART] = "restart ordered",
    [WHY_SCALED] = "fewer replicas",
    [WHY_REMOVED] = "removed from the plan",
    [WHY_DRAIN] = "shutdown",
    [WHY_LIVENESS] = "failed its liveness probe",
    [WHY_STARTUP] = "failed its startup probe",
    [WHY_ENDED] = "ended by itself",
    [WHY_EXEC] = "could not be executed",
    [WHY_RESOURCES] = "no process could be made",
    [WHY_WAITS] = "waits for another worker",
    [WHY_DEADLINE] = "its deadline passed",
    [WHY_WATCHDOG] = "missed its watchdog",
    [WHY_MEMORY] = "held more memory than its limit",
};
static_assert(ARRAY_LEN(why_names) == WHY_COUNT, "every reason");

static const char *const operator_names[] = {
    [OPERATOR_NONE] = "none",
    [OPERATOR_STARTING] = "starting",
    [OPERATOR_RUNNING] = "running",
    [OPERATOR_BACKOFF] = "backoff",
    [OPERATOR_HUNG] = "hung",
};

const char *
instance_state_name(enum instance_state state)
{
	return (size_t)state < ARRAY_LEN(state_names) ? state_names[state]
	                                              : "unknown";
}

const char *
instance_event_name(enum instance_event event)
{
	return (size_t)event < ARRAY_LEN(event_names) ? event_names[event]
	                                              : "unknown";
}

const char *
instance_why_name(enum instance_why why)
{
	return (size_t)why < ARRAY_LEN(why_names) ? why_names[why] : "unknown";
}

const char *
wire_operator_name(enum wire_operator state)
{
	return (size_t)state < ARRAY_LEN(operator_names) ? operator_names[state]
	                                                 : "unknown";
}

bool
instance_state_alive(enum instance_state state)
{
	switch (state) {
	case INSTANCE_STARTING:
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
		return true;
	case INSTANCE_NONE:
	case INSTANCE_PENDING:
	case INSTANCE_BACKOFF:
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
	case INSTANCE_STATES:
		return false;
	}
	return false;
}
