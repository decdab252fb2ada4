/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/deliver.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/sending.h"

enum {
	REQUEST_MAX = 16 << 20,
	ARGUMENTS_MAX = 64,
	TIMEOUT_MS = 10 * 1000,
	HEADER_SIZE = 512,
};

struct delivery {
	const cJSON *request;
	struct buffer body;
	int out;
};

/* Why it wasn't taken. */
struct fault {
	const char *why;
	long status;            /* HTTP; 0: none came */
	int64_t retry_after_ms; /* asked for; 0: not */
};

static int
refuse(const struct delivery *delivery, const struct fault *fault)
{
	struct buffer text;
	struct jsonw json;
	struct err err = ERR_INIT;

	buffer_init(&text, REQUEST_MAX);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "error", fault->why);
	jsonw_i64(&json, "status", fault->status);
	jsonw_i64(&json, "retry_after_ms", fault->retry_after_ms);
	jsonw_end(&json);
	/* Who doesn't read why still sees that it failed. */
	int rc = fd_write_all(delivery->out, text.data, text.len, &err);

	buffer_fini(&text);
	return rc == 0 ? EXIT_FAILED : EXIT_BUG;
}

static int
taken(const struct delivery *delivery)
{
	sending_was_taken(record_text(delivery->request, "sending", NULL),
	    record_text(delivery->request, "taken", NULL));
	return 0;
}

/* In our process group, so the deadline that hangs over us hangs over it. */
static int
run_command(const struct delivery *delivery, char *const *argv)
{
	pid_t pid = 0;
	int status = 0;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		return refuse(delivery,
		    &(struct fault){.why = "command: can't be executed"});
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return EXIT_BUG;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? taken(delivery)
	                                                     : EXIT_FAILED;
}

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
			return refuse(delivery,
			    &(struct fault){
			        .why = "command: not a list of texts"});
		argv[count++] = item->valuestring;
	}
	if (count == 0)
		return refuse(delivery,
		    &(struct fault){.why = "command: nothing to execute"});
	if (fd == -1 ||
	    fd_write_all(fd, delivery->body.data, delivery->body.len, &err) ==
	        -1 ||
	    fd_write_all(fd, "\n", 1, &err) == -1 ||
	    lseek(fd, 0, SEEK_SET) == -1 || dup2(fd, STDIN_FILENO) == -1 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) == -1)
		return refuse(delivery,
		    &(struct fault){.why = "command: can't prepare its input"});
	return run_command(delivery, argv);
}

static size_t
ignore_answer(const char *bytes, size_t size, size_t count, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * count;
}

/* Appended as a whole, or not at all: NULL when memory is short. */
static struct curl_slist *
add_header(struct curl_slist *list, const char *text)
{
	struct curl_slist *more = curl_slist_append(list, text);

	if (more == NULL)
		curl_slist_free_all(list);
	return more;
}

static struct curl_slist *
headers_of(const struct delivery *delivery)
{
	char id[HEADER_SIZE / 2];
	char text[HEADER_SIZE];
	char signature[HEADER_SIZE / 2];
	const char *kind = record_text(delivery->request, "kind", "");
	const char *key = record_text(delivery->request, "secret", NULL);
	struct curl_slist *list =
	    add_header(NULL, "Content-Type: application/json");

	deliver_id(delivery->request, id, sizeof(id));
	(void)snprintf(text, sizeof(text), "Idempotency-Key: %s", id);
	if (list != NULL)
		list = add_header(list, "Expect:");
	if (list != NULL)
		list = add_header(list, text);
	if (list == NULL || key == NULL || !text_equal(kind, "webhook"))
		return list;
	if (deliver_sign(key, clock_wall_ms() / 1000, &delivery->body,
	        signature, sizeof(signature)) == -1) {
		curl_slist_free_all(list);
		return NULL;
	}
	(void)snprintf(text, sizeof(text), "Reeve-Signature: %s", signature);
	return add_header(list, text);
}

static void
set_url(CURL *curl, const cJSON *request)
{
	const char *url = record_text(request, "url", "");
	size_t len = strlen(url);
	struct buffer whole;

	while (len > 0 && url[len - 1] == '/')
		len--;
	buffer_init(&whole, REQUEST_MAX);
	if (text_equal(record_text(request, "kind", ""), "alertmanager")) {
		buffer_append(&whole, url, len);
		buffer_text(&whole, "/api/v2/alerts");
		url = whole.data;
	}
	(void)curl_easy_setopt(curl, CURLOPT_URL, url == NULL ? "" : url);
	buffer_wipe(&whole);
}

static void
post(CURL *curl, const struct delivery *delivery, struct curl_slist *headers,
    struct fault *ret, char *text, size_t size)
{
	curl_off_t after_s = 0;
	int64_t timeout_ms =
	    record_i64(delivery->request, "timeout_ms", TIMEOUT_MS);

	set_url(curl, delivery->request);
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

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
	(void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after_s);
	ret->retry_after_ms = MIN((int64_t)after_s, INT64_MAX / 1000) * 1000;
	/* Only curl's fixed words: its details may hold the URL. What was
	 * answered before the connection broke isn't an answer. */
	if (rc != CURLE_OK) {
		ret->why = curl_easy_strerror(rc);
		ret->status = 0;
		return;
	}
	if (ret->status >= 200 && ret->status <= 299)
		return;
	(void)snprintf(text, size, "it answered HTTP %ld", ret->status);
	ret->why = text;
}

static int
deliver_http(const struct delivery *delivery)
{
	char text[64];
	struct fault fault = {.why = NULL};
	CURL *curl = NULL;
	struct curl_slist *headers = NULL;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		curl = curl_easy_init();
		headers = headers_of(delivery);
	}
	if (curl == NULL || headers == NULL)
		fault.why = "libcurl can't be used";
	else
		post(curl, delivery, headers, &fault, text, sizeof(text));
	if (fault.why == NULL)
		(void)taken(delivery);
	if (curl != NULL)
		curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	return fault.why == NULL ? 0 : refuse(delivery, &fault);
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
	if (cJSON_GetArraySize(record_array(request, "events")) == 0)
		rc = refuse(&delivery,
		    &(struct fault){.why = "no request, or nothing in it"});
	else if (deliver_body(request, &delivery.body) == -1 ||
	         delivery.body.overflow)
		rc = refuse(&delivery,
		    &(struct fault){.why = "no message can be made of it"});
	else if (text_equal(record_text(request, "kind", ""), "command"))
		rc = deliver_command(&delivery);
	else
		rc = deliver_http(&delivery);
	buffer_wipe(&delivery.body);
	buffer_wipe(&bytes);
	return rc;
}
