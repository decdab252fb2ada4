/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/deliver.h"
#include "supervisor/operator/record.h"

enum {
	REQUEST_MAX = 1 << 20,
	ARGUMENTS_MAX = 64,
	TIMEOUT_MS = 10 * 1000,
};

struct delivery {
	const cJSON *request, *payload;
	char *payload_text;
	struct buffer body;
	int out;
};

static int
refuse(const struct delivery *delivery, const char *why)
{
	struct buffer text;
	struct jsonw json;
	struct err err = ERR_INIT;

	buffer_init(&text, REQUEST_MAX);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "error", why);
	jsonw_end(&json);
	/* Who doesn't read why still sees that it failed. */
	int rc = fd_write_all(delivery->out, text.data, text.len, &err);

	buffer_fini(&text);
	return rc == 0 ? EXIT_FAILED : EXIT_BUG;
}

/* Becomes the command: its exit code is ours, and the deadline that hangs over
 * us hangs over it. */
static int
deliver_command(const struct delivery *delivery)
{
	char *argv[ARGUMENTS_MAX + 1] = {0};
	const cJSON *item = NULL;
	size_t count = 0;
	struct err err = ERR_INIT;
	int fd = memfd_create("alert", MFD_CLOEXEC);

	cJSON_ArrayForEach(item, record_array(delivery->request, "command"))
	{
		if (!cJSON_IsString(item) || count == ARGUMENTS_MAX)
			return refuse(delivery, "command: not a list of texts");
		argv[count++] = item->valuestring;
	}
	if (count == 0)
		return refuse(delivery, "command: nothing to execute");
	if (fd == -1 ||
	    fd_write_all(fd, delivery->payload_text,
	        strlen(delivery->payload_text), &err) == -1 ||
	    fd_write_all(fd, "\n", 1, &err) == -1 ||
	    lseek(fd, 0, SEEK_SET) == -1 || dup2(fd, STDIN_FILENO) == -1 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) == -1)
		return refuse(delivery, "command: can't prepare its input");
	(void)execvp(argv[0], argv);
	return refuse(delivery, "command: can't be executed");
}

static void
slack_body(struct delivery *delivery)
{
	const cJSON *payload = delivery->payload;
	const char *evidence = record_text(payload, "evidence", "");
	struct jsonw json;

	jsonw_init(&json, &delivery->body, false);
	jsonw_object(&json, NULL);
	jsonw_format(&json, "text", "[%s] %s: %s: %s%s%s (%s, since %s)",
	    record_text(payload, "state", ""),
	    record_text(payload, "system", ""),
	    record_text(payload, "subject", ""),
	    record_text(payload, "summary", ""), *evidence == '\0' ? "" : ": ",
	    evidence, record_text(payload, "severity", ""),
	    record_text(payload, "since", ""));
	jsonw_end(&json);
}

static size_t
ignore_answer(const char *bytes, size_t size, size_t count, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * count;
}

static const char *
post(CURL *curl, const struct delivery *delivery, char *text, size_t size)
{
	long status = 0;
	int64_t timeout_ms =
	    record_i64(delivery->request, "timeout_ms", TIMEOUT_MS);
	struct curl_slist *headers =
	    curl_slist_append(NULL, "Content-Type: application/json");

	headers = curl_slist_append(headers, "Expect:");
	(void)curl_easy_setopt(
	    curl, CURLOPT_URL, record_text(delivery->request, "url", ""));
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "reeve");
	(void)curl_easy_setopt(
	    curl, CURLOPT_POSTFIELDSIZE, (long)delivery->body.len);
	(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, delivery->body.data);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_answer);
	CURLcode rc = curl_easy_perform(curl);

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	/* Only curl's fixed words: its details may hold the URL. */
	if (rc != CURLE_OK)
		return curl_easy_strerror(rc);
	if (status >= 200 && status <= 299)
		return NULL;
	(void)snprintf(text, size, "it answered HTTP %ld", status);
	return text;
}

static int
deliver_webhook(struct delivery *delivery)
{
	char text[64];
	const char *format = record_text(delivery->request, "format", "json");
	bool slack =
	    text_equal(format, "slack") ||
	    text_equal(record_text(delivery->request, "kind", ""), "slack");
	CURL *curl = NULL;
	int rc = 0;

	if (slack)
		slack_body(delivery);
	else
		buffer_text(&delivery->body, delivery->payload_text);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return refuse(delivery, "libcurl can't be used");
	curl = curl_easy_init();
	if (curl == NULL) {
		rc = refuse(delivery, "libcurl can't be used");
	} else {
		const char *why = post(curl, delivery, text, sizeof(text));
		if (why != NULL)
			rc = refuse(delivery, why);
		curl_easy_cleanup(curl);
	}
	curl_global_cleanup();
	return rc;
}

int
deliver(int in, int out)
{
	CLEANUP(record_free) cJSON *request = NULL;
	struct err err = ERR_INIT;
	struct buffer bytes;
	struct delivery delivery = {.out = out};
	int rc = 0;

	buffer_init(&bytes, REQUEST_MAX);
	buffer_init(&delivery.body, REQUEST_MAX);
	if (buffer_read_all(&bytes, in, &err) == 0)
		request = record_parse(bytes.data, bytes.len);
	delivery.request = request;
	delivery.payload = cJSON_GetObjectItemCaseSensitive(request, "payload");
	delivery.payload_text = cJSON_IsObject(delivery.payload)
	                            ? cJSON_PrintUnformatted(delivery.payload)
	                            : NULL;
	const char *kind = record_text(request, "kind", "");

	if (delivery.payload_text == NULL)
		rc = refuse(&delivery, "no request, or no payload in it");
	else if (text_equal(kind, "command"))
		rc = deliver_command(&delivery);
	else if (text_equal(kind, "webhook") || text_equal(kind, "slack"))
		rc = deliver_webhook(&delivery);
	else
		rc = refuse(&delivery, "no such kind of receiver");
	free(delivery.payload_text);
	buffer_wipe(&delivery.body);
	buffer_wipe(&bytes);
	return rc;
}
