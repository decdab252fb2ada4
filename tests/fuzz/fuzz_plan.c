/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buffer.h"
#include "base/calendar.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/plan_encode.h"
#include "tests/fuzz/fuzz.h"

/* The plan: what the decoder accepts is readable whole, and the encoder would
 * have written it. */

/* So that no reading is optimised away. */
static volatile size_t sink;

static size_t
read_list(const char *const *texts)
{
	size_t bytes = 0;

	for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
		bytes += strlen(texts[i]);
	return bytes;
}

static size_t
read_probe(const struct probe_spec *probe)
{
	size_t bytes = read_list(probe->argv) + read_list(probe->headers);

	bytes += probe->host != NULL ? strlen(probe->host) : 0;
	bytes += probe->path != NULL ? strlen(probe->path) : 0;
	return bytes;
}

static size_t
read_worker(const struct worker_spec *spec)
{
	size_t bytes = strlen(spec->name) + strlen(spec->executable);

	bytes += spec->cwd != NULL ? strlen(spec->cwd) : 0;
	bytes += read_list(spec->argv) + read_list(spec->envp);
	for (uint32_t i = 0; i < spec->nports; i++)
		bytes += strlen(spec->ports[i].name);
	for (uint32_t i = 0; i < spec->ngroups; i++)
		bytes += spec->groups[i] != 0;
	for (uint32_t i = 0; i < spec->ndependencies; i++)
		bytes += strlen(spec->dependencies[i].worker);
	if (spec->schedule.text != NULL)
		bytes += strlen(spec->schedule.text) +
		         strlen(spec->schedule.zone_name) +
		         (calendar_next(&spec->schedule.rule,
		              &spec->schedule.zone, 0) > 0);
	bytes += read_probe(&spec->readiness) + read_probe(&spec->liveness);
	return bytes + read_probe(&spec->startup) + read_probe(&spec->pre_stop);
}

static void
encode_again(const struct plan *plan, const struct plan_settings *settings,
    const struct worker_spec *specs)
{
	struct buffer out;
	struct plan again = PLAN_INIT;
	struct err err = ERR_INIT;

	buffer_init(&out, PLAN_BYTES_MAX);
	int rc = plan_encode(specs, plan->nworkers, settings, &out, &err);
	if (rc == -1)
		(void)fprintf(stderr, "encode: %s\n", err.text);
	assert(rc == 0);
	rc = plan_decode(out.data, out.len, &again, &err);
	if (rc == -1)
		(void)fprintf(stderr, "decode: %s\n", err.text);
	assert(rc == 0);
	assert(again.nworkers == plan->nworkers);
	buffer_fini(&out);
}

static void
decode(uint8_t *bytes, size_t len)
{
	struct plan plan = PLAN_INIT;
	struct plan_settings settings;
	struct err err = ERR_INIT;

	if (plan_decode(bytes, len, &plan, &err) == -1) {
		assert(err.kind != ERR_NONE && err.text[0] != '\0');
		return;
	}
	plan_settings_of(&plan, &settings);
	sink += strlen(settings.name);
	struct worker_spec *specs =
	    calloc((size_t)plan.nworkers + 1, sizeof(*specs));
	assert(specs != NULL);
	for (uint32_t i = 0; i < plan.nworkers; i++) {
		plan_worker(&plan, i, &specs[i]);
		sink += read_worker(&specs[i]);
		int32_t found = plan_worker_find(&plan, specs[i].name);
		assert(found == (int32_t)i);
	}
	encode_again(&plan, &settings, specs);
	free(specs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t room = (len + 7) & ~(size_t)7;
	uint8_t *copy = aligned_alloc(8, MAX(room, 8));

	assert(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	decode(copy, len);
	/* and as if whoever wrote it had got length and sum right */
	if (len >= sizeof(struct plan_header)) {
		struct plan_header *header = (void *)copy;
		memcpy(copy, bytes, len);
		header->total_bytes = len;
		header->checksum = 0;
		header->checksum =
		    plan_checksum(PLAN_CHECKSUM_START, copy, len);
		decode(copy, len);
	}
	free(copy);
	return 0;
}
