/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/fd.h"
#include "supervisor/wire/client.h"
#include "tests/fuzz/fuzz.h"

/* Packets from the init: what passes the check has terminated texts and enums
 * that have names. */

#define TERMINATED(text) assert(strnlen(text, sizeof(text)) < sizeof(text))

static void
use_instance(const struct wire_instance *instance)
{
	char text[128];

	TERMINATED(instance->name);
	TERMINATED(instance->probe_text);
	assert(instance_state_name(instance->state) != NULL);
	assert(instance_event_name(instance->event) != NULL);
	assert(instance_why_name(instance->why) != NULL);
	(void)instance_state_alive(instance->state);
	(void)exit_text(&instance->last_exit, text, sizeof(text));
}

static void
use_order(const struct wire_order *order)
{
	TERMINATED(order->name);
}

static void
use(const union wire_message *message)
{
	switch (message->head.type) {
	case WIRE_HELLO:
		TERMINATED(message->hello.version);
		TERMINATED(message->hello.name);
		TERMINATED(message->hello.socket_dir);
		break;
	case WIRE_SNAPSHOT_BEGIN:
	case WIRE_SNAPSHOT_END:
		TERMINATED(message->snapshot.name);
		TERMINATED(message->snapshot.operator_text);
		assert(wire_operator_name(message->snapshot.operator_state) !=
		       NULL);
		break;
	case WIRE_WORKER:
		TERMINATED(message->worker.name);
		break;
	case WIRE_INSTANCE:
		use_instance(&message->instance);
		break;
	case WIRE_NOTE:
	case WIRE_DRAINING:
	case WIRE_OPERATOR_STATE:
		TERMINATED(message->text.event);
		TERMINATED(message->text.text);
		break;
	case WIRE_REPLY:
		TERMINATED(message->reply.text);
		break;
	case WIRE_START:
	case WIRE_STOP:
	case WIRE_RESTART:
	case WIRE_SCALE:
	case WIRE_SIGNAL:
	case WIRE_EXTEND:
	case WIRE_GET_OLD_PLAN:
		use_order(&message->order);
		break;
	case WIRE_EVENT:
		TERMINATED(message->event.name);
		assert(instance_event_name(message->event.event) != NULL);
		assert(instance_why_name(message->event.why) != NULL);
		break;
	case WIRE_EVENTS:
		assert(message->head.length == sizeof(message->since));
		break;
	default:
		assert(message->head.length == sizeof(message->head));
		break;
	}
}

static void
receive(const uint8_t *bytes, size_t len)
{
	struct wire_client client = WIRE_CLIENT_INIT;
	union wire_message message;
	int ret_fds[WIRE_FDS_MAX], fds[2];
	struct err err = ERR_INIT;

	fuzz_sockets(SOCK_SEQPACKET, bytes, MIN(len, WIRE_MESSAGE_MAX), fds);
	wire_client_adopt(&client, fds[0]);
	while (wire_client_next(&client, &message, ret_fds, &err) == 1)
		use(&message);
	wire_client_close(&client);
	fd_close(&fds[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	union wire_message message;
	struct err err = ERR_INIT;

	memset(&message, 0xa5, sizeof(message));
	if (len > 0)
		memcpy(&message, bytes, MIN(len, sizeof(message)));
	if (wire_check(&message, len, &err) == 0) {
		assert(len == wire_length(message.head.type));
		use(&message);
	} else {
		assert(err.kind != ERR_NONE && err.text[0] != '\0');
	}
	receive(bytes, len);
	return 0;
}
