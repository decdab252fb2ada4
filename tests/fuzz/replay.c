/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

/*
 * Gives every file of FUZZ_CORPUS to the target, in the order of their names,
 * and says so in TAP: a test each. Run from the top of the repository. An input
 * that crashes or takes long ends the program; its name is said.
 */
enum {
	INPUT_SECONDS = 20,
	INPUT_BYTES_MAX = 4 * 1024 * 1024
};

static const char *current = "";

static void
ended(int number)
{
	static const char what[] = "# crashed or out of time at: ";

	(void)!write(STDOUT_FILENO, what, sizeof(what) - 1);
	(void)!write(STDOUT_FILENO, current, strlen(current));
	(void)!write(STDOUT_FILENO, "\n", 1);
	(void)raise(number); /* SA_RESETHAND: as it would have ended */
}

static void
watch(void)
{
	static const int numbers[] = {
	    SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct sigaction action = {
	    .sa_handler = ended, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

static int
visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
replay(int dir, const char *name)
{
	struct buffer input;
	struct err err = ERR_INIT;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	buffer_init(&input, INPUT_BYTES_MAX);
	int rc = fd == -1 ? err_sys(&err, "open")
	                  : buffer_read_all(&input, fd, &err);
	fd_close(&fd);
	if (rc == 0) {
		/* a copy of its very length, for the sanitizers */
		char *bytes = malloc(MAX(input.len, 1));
		assert(bytes != NULL);
		if (input.len > 0)
			memcpy(bytes, input.data, input.len);
		(void)alarm(INPUT_SECONDS);
		(void)LLVMFuzzerTestOneInput((const uint8_t *)bytes, input.len);
		(void)alarm(0);
		free(bytes);
	} else {
		printf("# %s: %s\n", name, err.text);
	}
	buffer_fini(&input);
	return rc;
}

int
main(void)
{
	struct dirent **entries = NULL;
	int failed = 0;
	int count = scandir(FUZZ_CORPUS, &entries, visible, alphasort);
	int dir = open(FUZZ_CORPUS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (count <= 0 || dir == -1) {
		printf("1..1\nnot ok 1 - no corpus in %s\n", FUZZ_CORPUS);
		return 1;
	}
	watch();
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		current = entries[i]->d_name;
		(void)fflush(stdout);
		bool bad = replay(dir, current) == -1;
		failed += bad;
		printf("%sok %d - %s\n", bad ? "not " : "", i + 1, current);
		free(entries[i]);
	}
	free(entries);
	fd_close(&dir);
	return failed > 0;
}
