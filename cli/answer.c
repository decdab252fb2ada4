/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "cli/answer.h"

#include "base/text.h"

const char *
answer_text(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : "";
}

const char *
answer_number(struct arena *arena, const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item)
	           ? arena_format(arena, "%.0f", item->valuedouble)
	           : "?";
}

const char *
answer_queue_number(struct arena *arena, const cJSON *queue, const char *key)
{
	const char *quality = answer_text(answer_list(queue, "quality"), key);
	const char *number = answer_number(arena, queue, key);

	if (text_equal(quality, "not-applicable") && text_equal(key, "dead"))
		return answer_queue_number(arena, queue, "failed");
	if (text_equal(quality, "not-applicable"))
		return "-";
	if (text_equal(quality, "at-least") || text_equal(quality, "estimate"))
		return arena_format(arena, "%s%c", number,
		    text_equal(quality, "at-least") ? '+' : '~');
	return number;
}

const cJSON *
answer_list(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

int
answer_print(struct cli *cli, const struct buffer *answer,
    void (*print)(struct arena *, struct buffer *, const cJSON *),
    int *ret_exit)
{
	static const struct cli_output standard = {.format = "text"};
	cJSON *json =
	    cJSON_ParseWithLengthOpts(answer->data, answer->len + 1, NULL, 1);
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(json, "exit");
	const struct cli_output *outputs =
	    cli->noutputs == 0 ? &standard : cli->outputs;
	struct buffer text;
	int rc = EXIT_PASSED;

	if (json == NULL)
		return cli_fail(cli, EXIT_UNREACHABLE, "no readable answer");
	if (ret_exit != NULL)
		*ret_exit =
		    cJSON_IsNumber(code) ? code->valueint : EXIT_INCONCLUSIVE;
	buffer_init(&text, ANSWER_MAX);
	print(&cli->arena, &text, json);
	for (size_t i = 0;
	     i < MAX(cli->noutputs, (size_t)1) && rc == EXIT_PASSED; i++) {
		const struct buffer *out =
		    text_equal(outputs[i].format, "json") ? answer : &text;

		rc = cli_write(cli, &outputs[i],
		    out->data == NULL ? "" : out->data, out->len);
	}
	buffer_fini(&text);
	cJSON_Delete(json);
	return rc;
}
