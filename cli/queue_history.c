/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/control.h"
#include "cli/queue_history.h"

enum {
	ANSWER_MAX = 16 << 20,
	PATH_MAX_BYTES = 512,
	SINCE_MS = 60 * 60 * 1000,
	WIDTH = 60, /* characters of a curve */
};

static const struct {
	const char *key, *title;
	bool age;
} curves[] = {
    {"waiting", "waiting", false},
    {"active", "active", false},
    {"dead", "dead", false},
    {"oldest_ms", "oldest", true},
    {"consumers", "consumers", false},
};

/* The most in each part of the time; -1: nothing is known of that part. */
struct curve {
	double parts[WIDTH];
	double least, most, last;
};

static void
make_curve(const cJSON *looks, const char *key, int64_t since_ms,
    int64_t until_ms, struct curve *ret)
{
	const cJSON *look = NULL;

	*ret = (struct curve){.least = -1, .most = -1, .last = -1};
	for (size_t i = 0; i < WIDTH; i++)
		ret->parts[i] = -1;
	cJSON_ArrayForEach(look, looks)
	{
		const cJSON *at =
		    cJSON_GetObjectItemCaseSensitive(look, "at_ms");
		const cJSON *value =
		    cJSON_GetObjectItemCaseSensitive(look, key);
		if (!cJSON_IsNumber(at) || !cJSON_IsNumber(value))
			continue;
		double x = (at->valuedouble - (double)since_ms) * WIDTH /
		           (double)MAX(until_ms - since_ms, 1);
		size_t part = x < 0 ? 0 : MIN((size_t)x, (size_t)WIDTH - 1);
		double y = value->valuedouble;
		ret->parts[part] = MAX(ret->parts[part], y);
		ret->most = MAX(ret->most, y);
		ret->least = ret->least < 0 ? y : MIN(ret->least, y);
		ret->last = y;
	}
}

static const char *
people(struct arena *arena, double value, bool age)
{
	char text[32];

	if (value < 0)
		return "?";
	if (!age)
		return arena_format(arena, "%.0f", value);
	return arena_text(
	    arena, text_ms_for_people((int64_t)value, text, sizeof(text)));
}

static void
print_curve(struct arena *arena, struct buffer *out, const struct curve *curve,
    const char *title, bool age)
{
	static const char *const bars[] = {
	    "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

	buffer_format(out, "%-10s", title);
	for (size_t i = 0; i < WIDTH; i++) {
		double most = MAX(curve->most, 1);
		size_t bar =
		    (size_t)(curve->parts[i] < 0 ? 0
		                                 : curve->parts[i] * 7 / most);
		buffer_text(out, curve->parts[i] < 0
		                     ? "·"
		                     : bars[MIN(bar, ARRAY_LEN(bars) - 1)]);
	}
	buffer_format(out, "  now %s, %s to %s\n",
	    people(arena, curve->last, age), people(arena, curve->least, age),
	    people(arena, curve->most, age));
}

static int
print_history(struct cli *cli, const struct buffer *answer, int64_t since_ms)
{
	cJSON *json = cJSON_ParseWithLength(answer->data, answer->len);
	const cJSON *looks = cJSON_GetObjectItemCaseSensitive(json, "looks");
	struct buffer out;
	struct curve curve;

	if (!cJSON_IsArray(looks)) {
		const cJSON *text =
		    cJSON_GetObjectItemCaseSensitive(json, "text");
		int rc = cli_fail(cli, EXIT_NOTHING, "%s",
		    cJSON_IsString(text) ? text->valuestring
		                         : "no readable answer");
		cJSON_Delete(json);
		return rc;
	}
	buffer_init(&out, ANSWER_MAX);
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		make_curve(
		    looks, curves[i].key, since_ms, clock_wall_ms(), &curve);
		print_curve(
		    &cli->arena, &out, &curve, curves[i].title, curves[i].age);
	}
	buffer_text(&out, "('·': not known)\n");
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	cJSON_Delete(json);
	return rc;
}

int
queue_history(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	char path[PATH_MAX_BYTES];
	int64_t age_ms = 0;

	if (argc != 1)
		return cli_usage(cli, "history of which queue?");
	if (cli_duration(cli, "since", SINCE_MS, &age_ms) == -1)
		return EXIT_USAGE;
	int64_t since_ms = MAX(clock_wall_ms() - age_ms, (int64_t)0);

	if (text_format(path, sizeof(path), &err,
	        "/history?queue=%s&since_ms=%" PRId64,
	        url_encode(&cli->arena, argv[0]), since_ms) == -1)
		return cli_usage(cli, "%s", err.text);
	int rc = control_open(cli, &client);

	if (rc != EXIT_PASSED)
		return rc;
	buffer_init(&answer, ANSWER_MAX);
	int status = control_ask(cli, &client, "GET", path, &answer, &err);

	if (status == -1)
		rc = cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	else if (status == 200 && cli_wants(cli, "json"))
		rc = cli_print(cli, answer.data, answer.len);
	else
		rc = print_history(cli, &answer, since_ms);
	buffer_fini(&answer);
	control_close(&client);
	return rc;
}
