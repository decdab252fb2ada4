/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/look.h"
#include "probes/stream.h"

/*
 * The lowest rungs by themselves: kinds "dns" {host}, "tcp" {host, port | unix}
 * and "tls" {host, port, serverName}.
 */
enum {
	TLS_PORT = 443,
	/* any port: the resolver wants one, and nothing is connected to */
	DNS_PORT = 1,
	DAYS_FEW = 14
};

void
probe_dns(struct look *look)
{
	struct stream_addresses found = {.count = 0};
	const char *host = NULL;

	if (look_need(look, "host", &host) == -1)
		return;
	look->out.target = host;
	if (stream_resolve(host, DNS_PORT, &look->ladder, &found) == -1) {
		look_ladder_failed(look);
		return;
	}
	const char *all = "";
	for (size_t i = 0; i < found.count; i++) {
		char one[STREAM_ADDRESS_SIZE];
		stream_address_text(
		    (const void *)&found.all[i], found.len[i], one);
		char *colon = strrchr(one, ':');
		if (colon != NULL)
			*colon = '\0';
		all = arena_format(
		    look->arena, "%s%s%s", all, i == 0 ? "" : ", ", one);
	}
	look_note(look, "addresses", "%s", all);
	look_passed(look, "%s is %s", host, all);
}

/* The endpoint that the request names. */
static int
take_endpoint(struct look *look, int64_t port_absent, struct endpoint *ret)
{
	int64_t port = 0;
	const char *named = NULL;

	if (look_text(look, "unix", NULL, &ret->unix_path) == -1 ||
	    look_i64(look, "port", port_absent, &port) == -1 ||
	    look_text(look, "serverName", NULL, &named) == -1 ||
	    look_tls(look, &ret->ca, &ret->server_name) == -1)
		return -1;
	if (named != NULL)
		ret->server_name = named;
	if (ret->unix_path != NULL) {
		look->out.target =
		    arena_format(look->arena, "unix:%s", ret->unix_path);
		return 0;
	}
	if (look_need(look, "host", &ret->host) == -1)
		return -1;
	if (port < 1 || port > UINT16_MAX) {
		look_failed(
		    look, CAUSE_URL, "", "%" PRId64 " is no port", port);
		return -1;
	}
	ret->port = (int)port;
	look->out.target =
	    arena_format(look->arena, "%s:%d", ret->host, ret->port);
	return 0;
}

void
probe_tcp(struct look *look)
{
	struct endpoint endpoint = {.tls = false};
	struct stream *stream = NULL;

	if (take_endpoint(look, 0, &endpoint) == -1)
		return;
	if (stream_open(&endpoint, &look->ladder, &stream) == -1) {
		look_ladder_failed(look);
		return;
	}
	look->out.identity = arena_text(look->arena, stream_address(stream));
	look_passed(look, "%s accepts connections", stream_address(stream));
	stream_close(stream);
}

void
probe_tls(struct look *look)
{
	struct endpoint endpoint = {.tls = true};
	struct stream *stream = NULL;

	if (take_endpoint(look, TLS_PORT, &endpoint) == -1)
		return;
	if (stream_open(&endpoint, &look->ladder, &stream) == -1) {
		look_ladder_failed(look);
		return;
	}
	int64_t days = stream_tls_days_left(stream);
	look->out.identity = arena_text(look->arena, stream_address(stream));
	look_note(look, "version", "%s", stream_tls_version(stream));
	look_note(look, "certificate", "%s", stream_tls_subject(stream));
	look_note(look, "not-after", "%s", stream_tls_not_after(stream));
	look_note(look, "days-left", "%" PRId64, days);
	look_passed(look, "%s with %s, certificate good for %" PRId64 " days%s",
	    stream_tls_version(stream), stream_address(stream), days,
	    days < DAYS_FEW ? ": renew it" : "");
	stream_close(stream);
}
