/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cgroup.h"

/* A hybrid host, as its two files were recorded. */
static const char MEMBERSHIP[] = "12:pids:/a/b\n5:cpu,memory:/c\n0::/d\n";
static const char MOUNTS[] =
    "36 35 98:0 /a /pids rw - cgroup cgroup rw,pids\n"
    "37 35 98:0 / /mem\\040ory rw - cgroup cgroup rw,cpu,memory\n"
    "38 35 98:0 / /two rw - cgroup2 cgroup2 rw\n";

static void
keep(char path[static 32], const char *text)
{
	(void)snprintf(path, 32, "/tmp/reeve-cgroup-XXXXXX");
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	assert_non_null(file);
	assert_int_not_equal(fputs(text, file), EOF);
	assert_int_equal(fclose(file), 0);
}

static void
each_hierarchy_has_its_place(void **state)
{
	static const struct {
		enum cgroup_hierarchy hierarchy;
		const char *path;
	} places[] = {
	    {CGROUP_V2, "/two/d"},
	    {CGROUP_V1_MEMORY, "/mem ory/c"},
	    {CGROUP_V1_PIDS, "/pids/b"},
	};
	char membership[32], mounts[32], path[CGROUP_PATH_MAX];

	(void)state;
	keep(membership, MEMBERSHIP);
	keep(mounts, MOUNTS);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(
		    cgroup_find_in(membership, mounts, places[i].hierarchy,
		        path, sizeof(path), &err),
		    0);
		assert_string_equal(path, places[i].path);
	}
	(void)unlink(membership);
	(void)unlink(mounts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_hierarchy_has_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
