/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/plan_encode.h"

/* Two workers with something in every section. */
static const char *const argv_a[] = {"a", "--flag", "", NULL};
static const char *const envp_a[] = {
    "PATH=/bin", "EMPTY=", "ODD=%s $(X) \n = \xff", NULL};
static const char *const argv_b[] = {"b", NULL};
static const char *const nothing[] = {NULL};
static const char *const headers[] = {"X-Test: 1", NULL};
static const char *const probe_argv[] = {"check", "now", NULL};
static const int64_t groups[] = {7, 8};
static const struct worker_port ports[] = {{"health", 8080}, {"admin", 9000}};

static void
fill(struct worker_spec specs[2])
{
	specs[0] = (struct worker_spec){
	    .name = "zeta",
	    .argv = argv_a,
	    .executable = "/bin/a",
	    .envp = envp_a,
	    .cwd = "/srv",
	    .uid = 1000,
	    .gid = 1001,
	    .groups = groups,
	    .ngroups = 2,
	    .umask = 027,
	    .no_new_privs = true,
	    .replicas = 3,
	    .restart = RESTART_ON_FAILURE,
	    .backoff_first_ms = 500,
	    .backoff_cap_ms = 60000,
	    .grace_ms = 30000,
	    .drain_signal = 15,
	    .readiness = {.kind = PROBE_HTTP,
	        .path = "/health",
	        .headers = headers,
	        .port = 8080,
	        .port_per_replica = true,
	        .period_ms = 10000,
	        .timeout_ms = 1000,
	        .success_threshold = 1,
	        .failure_threshold = 3},
	    .liveness = {.kind = PROBE_EXEC,
	        .argv = probe_argv,
	        .period_ms = 1,
	        .timeout_ms = 1,
	        .success_threshold = 1,
	        .failure_threshold = 1},
	    .ports = ports,
	    .nports = 2,
	    .memory_limit_bytes = 1 << 30,
	    .process = {.declared =
	                    PROCESS_NICE | PROCESS_CPUS | PROCESS_CAPABILITIES,
	        .limited = 1U << WORKER_LIMIT_NOFILE,
	        .limits = {[WORKER_LIMIT_NOFILE] = {1024, WORKER_UNLIMITED}},
	        .nice = -5,
	        .cpus = {0x89},
	        .cap_add = 1 << 10,
	        .cap_drop = 1},
	    .config_digest = {1, 2, 3},
	    .generation = 9,
	};
	specs[1] = (struct worker_spec){
	    .name = "alpha",
	    .argv = argv_b,
	    .executable = "/bin/b",
	    .envp = nothing,
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .drain_signal = 15,
	};
}

static void
encode(struct buffer *out)
{
	struct worker_spec specs[2];
	struct plan_settings settings;
	struct err err = ERR_INIT;

	fill(specs);
	plan_settings_default(&settings);
	settings.name = "system";
	settings.grace_ms = 20000;
	buffer_init(out, PLAN_BYTES_MAX);
	if (plan_encode(specs, 2, &settings, out, &err) == -1)
		fail_msg("%s", err.text);
}

/* A copy that may be spoilt. */
static uint8_t *
copy_of(const struct buffer *plan)
{
	uint8_t *bytes = aligned_alloc(8, (plan->len + 7) & ~(size_t)7);

	assert_non_null(bytes);
	memcpy(bytes, plan->data, plan->len);
	return bytes;
}

static void
seal_sum(uint8_t *bytes, size_t len)
{
	struct plan_header *header = (void *)bytes;

	header->checksum = 0;
	header->checksum = plan_checksum(PLAN_CHECKSUM_START, bytes, len);
}

static volatile size_t was_read;

/* Decodes and, when that is accepted, reads everything that can be read. */
static int
decode(uint8_t *bytes, size_t len, struct err *err)
{
	struct plan plan = PLAN_INIT;
	struct plan_settings settings;
	struct worker_spec spec;

	if (plan_decode(bytes, len, &plan, err) == -1)
		return -1;
	plan_settings_of(&plan, &settings);
	was_read += strlen(settings.name);
	for (uint32_t i = 0; i < plan.nworkers; i++) {
		plan_worker(&plan, i, &spec);
		was_read += strlen(spec.name) + strlen(spec.executable);
		for (size_t j = 0; spec.argv[j] != NULL; j++)
			was_read += strlen(spec.argv[j]);
		for (size_t j = 0; spec.envp[j] != NULL; j++)
			was_read += strlen(spec.envp[j]);
		for (uint32_t j = 0; j < spec.nports; j++)
			was_read += strlen(spec.ports[j].name);
		for (uint32_t j = 0; j < spec.ngroups; j++)
			was_read += (size_t)spec.groups[j];
		if (plan_worker_find(&plan, spec.name) != (int32_t)i)
			return err_set(err, ERR_SYSTEM, "not found again");
	}
	return 0;
}

static void
what_is_encoded_is_what_is_read(void **state)
{
	struct buffer out;
	struct plan plan = PLAN_INIT;
	struct worker_spec spec;
	struct plan_settings settings;
	struct err err = ERR_INIT;

	(void)state;
	encode(&out);
	uint8_t *bytes = copy_of(&out);
	assert_int_equal(plan_decode(bytes, out.len, &plan, &err), 0);
	assert_int_equal(plan.nworkers, 2);
	plan_settings_of(&plan, &settings);
	assert_string_equal(settings.name, "system");
	assert_int_equal(settings.grace_ms, 20000);
	assert_int_equal(settings.logs, LOGS_PLAIN);
	assert_string_equal(plan_worker_name(&plan, 0), "zeta");
	plan_worker(&plan, 0, &spec);
	assert_string_equal(spec.executable, "/bin/a");
	assert_string_equal(spec.cwd, "/srv");
	for (size_t i = 0; i < ARRAY_LEN(argv_a) - 1; i++)
		assert_string_equal(spec.argv[i], argv_a[i]);
	assert_null(spec.argv[ARRAY_LEN(argv_a) - 1]);
	for (size_t i = 0; i < ARRAY_LEN(envp_a) - 1; i++)
		assert_string_equal(spec.envp[i], envp_a[i]);
	assert_null(spec.envp[ARRAY_LEN(envp_a) - 1]);
	assert_int_equal(spec.groups[1], 8);
	assert_string_equal(spec.ports[1].name, "admin");
	assert_int_equal(spec.ports[1].base, 9000);
	assert_int_equal(spec.readiness.kind, PROBE_HTTP);
	assert_true(spec.readiness.port_per_replica);
	assert_string_equal(spec.readiness.headers[0], "X-Test: 1");
	assert_null(spec.readiness.host);
	assert_string_equal(spec.liveness.argv[1], "now");
	assert_int_equal(spec.startup.kind, PROBE_NONE);
	assert_int_equal(spec.umask, 027);
	assert_int_equal(spec.config_digest[2], 3);
	assert_int_equal(spec.generation, 9);
	struct worker_spec given[2];
	fill(given);
	assert_memory_equal(
	    &spec.process, &given[0].process, sizeof(spec.process));
	plan_worker(&plan, 1, &spec);
	assert_int_equal(spec.process.limited, 0);
	assert_null(spec.cwd);
	assert_null(spec.envp[0]);
	assert_int_equal(spec.uid, WORKER_ID_NONE);
	assert_int_equal(spec.umask, UINT32_MAX);
	assert_int_equal(plan_worker_find(&plan, "alpha"), 1);
	assert_int_equal(plan_worker_find(&plan, "zeta"), 0);
	assert_int_equal(plan_worker_find(&plan, "beta"), -1);
	free(bytes);
	buffer_wipe(&out);
}

static void
settings_out_of_range_are_refused(void **state)
{
	static const struct {
		const char *word;
		struct worker_process process;
	} bad[] = {
	    {"unknown settings", {.declared = PROCESS_ALL + 1}},
	    {"unknown settings", {.zero = 1}},
	    {"unknown limits", {.limited = 1U << WORKER_LIMITS}},
	    {"limit cpu", {.limited = 1U << WORKER_LIMIT_CPU,
	                      .limits = {[WORKER_LIMIT_CPU] = {2, 1}}}},
	    {"nice", {.nice = 20}},
	    {"nice", {.nice = -21}},
	    {"scheduling", {.scheduling = SCHEDULINGS}},
	    {"io class", {.io_class = IO_CLASSES}},
	    {"io level", {.io_level = WORKER_IO_LEVELS}},
	    {"oom_score_adj", {.oom_score_adj = 1001}},
	    {"no CPU", {.declared = PROCESS_CPUS}},
	};
	struct plan_settings settings;

	(void)state;
	plan_settings_default(&settings);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct worker_spec specs[2];
		struct buffer out;
		struct err err = ERR_INIT;
		fill(specs);
		specs[0].process = bad[i].process;
		buffer_init(&out, PLAN_BYTES_MAX);
		assert_int_equal(
		    plan_encode(specs, 2, &settings, &out, &err), -1);
		assert_non_null(strstr(err.text, "zeta"));
		assert_non_null(strstr(err.text, bad[i].word));
		buffer_fini(&out);
	}
}

/* A thousand workers that have everything but their name in common: the plan
 * grows by a record, a name and a place in the order for each. */
static void
what_is_equal_is_written_once(void **state)
{
	enum {
		MANY = 1000
	};
	static char names[MANY][8];
	struct worker_spec *specs = calloc(MANY, sizeof(*specs));
	struct plan_settings settings;
	struct err err = ERR_INIT;
	size_t sizes[2] = {0};
	struct plan plan = PLAN_INIT;
	struct worker_spec one, other;
	struct buffer out;

	(void)state;
	assert_non_null(specs);
	plan_settings_default(&settings);
	for (size_t i = 0; i < MANY; i++) {
		struct worker_spec pair[2];
		fill(pair);
		specs[i] = pair[0];
		(void)snprintf(names[i], sizeof(names[i]), "w%zu", i);
		specs[i].name = names[i];
		specs[i].nports = 0;
		specs[i].ngroups = 0;
	}
	for (size_t few = 0; few < 2; few++) {
		buffer_init(&out, PLAN_BYTES_MAX);
		if (plan_encode(specs, few == 0 ? MANY : 1, &settings, &out,
		        &err) == -1)
			fail_msg("%s", err.text);
		sizes[few] = out.len;
		if (few == 1)
			break;
		uint8_t *bytes = copy_of(&out);
		assert_int_equal(plan_decode(bytes, out.len, &plan, &err), 0);
		plan_worker(&plan, 0, &one);
		plan_worker(&plan, MANY - 1, &other);
		assert_ptr_equal(one.envp, other.envp);
		assert_ptr_equal(one.argv, other.argv);
		assert_ptr_equal(one.executable, other.executable);
		assert_int_equal(other.liveness.kind, PROBE_EXEC);
		assert_string_equal(other.envp[0], envp_a[0]);
		assert_string_equal(other.name, "w999");
		free(bytes);
		buffer_fini(&out);
	}
	assert_true(sizes[0] - sizes[1] <
	            MANY * (sizeof(struct plan_record) + sizeof(uint32_t) +
	                       sizeof(names[0])));
	buffer_fini(&out);
	free(specs);
}

static void
an_empty_plan_is_a_plan(void **state)
{
	struct buffer out;
	struct plan_settings settings;
	struct err err = ERR_INIT;

	(void)state;
	plan_settings_default(&settings);
	buffer_init(&out, PLAN_BYTES_MAX);
	assert_int_equal(plan_encode(NULL, 0, &settings, &out, &err), 0);
	uint8_t *bytes = copy_of(&out);
	assert_int_equal(decode(bytes, out.len, &err), 0);
	free(bytes);
	buffer_wipe(&out);
}

static void
a_plan_of_any_other_length_is_refused(void **state)
{
	struct buffer out;

	(void)state;
	encode(&out);
	for (size_t len = 0; len < out.len; len++) {
		struct err err = ERR_INIT;
		uint8_t *bytes = copy_of(&out);
		assert_int_equal(decode(bytes, len, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
		/* and with the length that it claims and a right sum */
		if (len >= sizeof(struct plan_header)) {
			((struct plan_header *)(void *)bytes)->total_bytes =
			    len;
			seal_sum(bytes, len);
			assert_int_equal(decode(bytes, len, &err), -1);
		}
		free(bytes);
	}
	buffer_wipe(&out);
}

static void
wrong_magic_version_or_sum_is_refused(void **state)
{
	struct buffer out;
	struct err err = ERR_INIT;

	(void)state;
	encode(&out);
	uint8_t *bytes = copy_of(&out);
	bytes[0] ^= 1;
	assert_int_equal(decode(bytes, out.len, &err), -1);
	assert_non_null(strstr(err.text, "magic"));
	bytes[0] ^= 1;
	bytes[8] ^= 3;
	assert_int_equal(decode(bytes, out.len, &err), -1);
	assert_non_null(strstr(err.text, "version"));
	bytes[8] ^= 3;
	bytes[out.len - 2] ^= 1;
	assert_int_equal(decode(bytes, out.len, &err), -1);
	assert_non_null(strstr(err.text, "checksum"));
	bytes[out.len - 2] ^= 1;
	assert_int_equal(decode(bytes, out.len, &err), 0);
	free(bytes);
	buffer_wipe(&out);
}

/* Every 4-byte word in turn gets values that an offset or a count must not
 * have, the sum made right again: it is refused, or what is read lies inside
 * (the sanitizer sees the rest). */
static void
no_offset_leads_out_of_the_plan(void **state)
{
	static const uint32_t bad[] = {
	    0, 1, 2, 7, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	struct buffer out;
	unsigned refused = 0, accepted = 0;

	(void)state;
	encode(&out);
	for (size_t at = 12; at + 4 <= out.len; at += 4)
		for (size_t i = 0; i < ARRAY_LEN(bad) + 2; i++) {
			struct err err = ERR_INIT;
			uint8_t *bytes = copy_of(&out);
			uint32_t word;
			memcpy(&word, bytes + at, sizeof(word));
			if (i < ARRAY_LEN(bad))
				word = bad[i];
			else
				word += i == ARRAY_LEN(bad) ? 1 : UINT32_MAX;
			memcpy(bytes + at, &word, sizeof(word));
			seal_sum(bytes, out.len);
			if (decode(bytes, out.len, &err) == 0)
				accepted++;
			else {
				assert_int_equal(err.kind, ERR_INPUT);
				refused++;
			}
			free(bytes);
		}
	assert_true(refused > 500);
	assert_true(accepted > 0); /* replicas 7 is fine */
	buffer_wipe(&out);
}

static void
random_damage_is_survived(void **state)
{
	struct buffer out;
	uint64_t seed = 88172645463325252U;

	(void)state;
	encode(&out);
	for (int round = 0; round < 20000; round++) {
		struct err err = ERR_INIT;
		uint8_t *bytes = copy_of(&out);
		for (int n = 0; n < 1 + round % 4; n++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			bytes[seed % out.len] = (uint8_t)(seed >> 40);
		}
		seal_sum(bytes, out.len);
		if (decode(bytes, out.len, &err) == -1)
			assert_int_equal(err.kind, ERR_INPUT);
		free(bytes);
	}
	buffer_wipe(&out);
}

static void
refuses(struct worker_spec *spec, const char *why)
{
	struct worker_spec specs[2];
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;

	fill(specs);
	specs[1] = *spec;
	plan_settings_default(&settings);
	buffer_init(&out, PLAN_BYTES_MAX);
	assert_int_equal(plan_encode(specs, 2, &settings, &out, &err), -1);
	if (strstr(err.text, why) == NULL)
		fail_msg("'%s' doesn't say '%s'", err.text, why);
	assert_int_equal(out.len, 0);
	buffer_fini(&out);
}

static void
the_encoder_refuses_what_the_init_would(void **state)
{
	struct worker_spec specs[2];
	static const char *const no_value[] = {"NOVALUE", NULL};

	(void)state;
	fill(specs);
	struct worker_spec good = specs[1], spec = good;
	spec.name = "zeta";
	refuses(&spec, "twice");
	spec.name = "a b";
	refuses(&spec, "characters");
	spec.name = "";
	refuses(&spec, "name");
	spec = good;
	spec.executable = "relative";
	refuses(&spec, "absolute");
	spec = good;
	spec.argv = nothing;
	refuses(&spec, "arguments");
	spec = good;
	spec.envp = no_value;
	refuses(&spec, "NAME=value");
	spec = good;
	spec.replicas = WORKER_REPLICAS_MAX + 1;
	refuses(&spec, "replicas");
	spec = good;
	spec.drain_signal = 65;
	refuses(&spec, "drain signal");
	spec = good;
	spec.uid = -2;
	refuses(&spec, "uid");
	spec = good;
	spec.backoff_first_ms = 2;
	spec.backoff_cap_ms = 1;
	refuses(&spec, "backoff");
	spec = good;
	spec.readiness = (struct probe_spec){.kind = PROBE_TCP, .port = 0};
	refuses(&spec, "port");
}

static int
sealed_memfd(unsigned seals)
{
	struct buffer out;
	struct err err = ERR_INIT;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	encode(&out);
	assert_int_equal(fd_write_all(fd, out.data, out.len, &err), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	buffer_wipe(&out);
	return fd;
}

static void
a_memfd_without_all_seals_is_refused(void **state)
{
	static const unsigned seals[] = {
	    F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
	const unsigned all =
	    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct plan plan = PLAN_INIT;
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seals); i++) {
		int fd = sealed_memfd(all & ~seals[i]);
		assert_int_equal(plan_open(fd, true, &plan, &err), -1);
		assert_non_null(strstr(err.text, "seal"));
		fd_close(&fd);
	}
	int fd = sealed_memfd(all);
	assert_int_equal(plan_open(fd, true, &plan, &err), 0);
	assert_int_equal(plan.nworkers, 2);
	assert_true(plan.fd >= 0 && plan.fd != fd);
	plan_close(&plan);
	assert_int_equal(plan.fd, -1);
	fd_close(&fd);
}

static void
a_directory_or_a_device_is_no_plan(void **state)
{
	static const char *const paths[] = {"/", "/dev/null"};
	struct plan plan = PLAN_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct err err = ERR_INIT;
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_int_equal(plan_open(fd, false, &plan, &err), -1);
		assert_non_null(strstr(err.text, "regular"));
		fd_close(&fd);
	}
}

static void
a_file_is_kept_as_a_sealed_copy(void **state)
{
	struct buffer out;
	struct plan plan = PLAN_INIT;
	struct err err = ERR_INIT;
	int fd = memfd_create("file", MFD_CLOEXEC);

	(void)state;
	encode(&out);
	assert_int_equal(fd_write_all(fd, out.data, out.len, &err), 0);
	assert_int_equal(plan_open(fd, false, &plan, &err), 0);
	/* whatever happens to the file: what was applied stays */
	assert_int_equal(ftruncate(fd, 0), 0);
	char byte = 0;
	assert_int_equal(pread(plan.fd, &byte, 1, (off_t)out.len - 1), 1);
	assert_int_equal(pwrite(plan.fd, "x", 1, 0), -1);
	plan_close(&plan);
	fd_close(&fd);
	buffer_wipe(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_encoded_is_what_is_read),
	    cmocka_unit_test(what_is_equal_is_written_once),
	    cmocka_unit_test(an_empty_plan_is_a_plan),
	    cmocka_unit_test(a_plan_of_any_other_length_is_refused),
	    cmocka_unit_test(settings_out_of_range_are_refused),
	    cmocka_unit_test(wrong_magic_version_or_sum_is_refused),
	    cmocka_unit_test(no_offset_leads_out_of_the_plan),
	    cmocka_unit_test(random_damage_is_survived),
	    cmocka_unit_test(the_encoder_refuses_what_the_init_would),
	    cmocka_unit_test(a_memfd_without_all_seals_is_refused),
	    cmocka_unit_test(a_directory_or_a_device_is_no_plan),
	    cmocka_unit_test(a_file_is_kept_as_a_sealed_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
