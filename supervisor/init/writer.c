/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/text.h"
#include "supervisor/init/outlet.h"
#include "supervisor/init/tally.h"
#include "supervisor/init/writer.h"

/* Until there is something to read, or will never be. Apart from the read: a
 * kill in a read leaves the counts off by what it took. */
static void
wait_for_more(void)
{
	struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};

	while (poll(&ready, 1, -1) == -1 && errno == EINTR)
		continue;
}

static ssize_t
read_counted(struct tally_file *file, char *bytes, size_t size)
{
	file->reading = 1;
	tally_in_order();
	ssize_t n = read(STDIN_FILENO, bytes, size);

	if (n > 0)
		file->taken += (uint64_t)n;
	tally_in_order();
	file->reading = 0;
	return n;
}

static ssize_t
write_counted(struct tally_file *file, const char *bytes, size_t len)
{
	file->writing = 1;
	tally_in_order();
	ssize_t n = write(STDOUT_FILENO, bytes, len);

	if (n > 0)
		file->written += (uint64_t)n;
	tally_in_order();
	file->writing = 0;
	return n;
}

static int
write_whole(struct tally_file *file, const char *bytes, size_t len)
{
	const struct timespec a_while = {0, WRITER_RETRY_MS * 1000000L};

	while (len > 0) {
		ssize_t n = write_counted(file, bytes, len);

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n == -1 && outlet_is_no_room(errno)) {
			(void)nanosleep(&a_while, NULL);
		} else if (n == 0 || errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

static int
copy(struct tally_file *file)
{
	static char bytes[WRITER_CHUNK];

	for (;;) {
		wait_for_more();
		ssize_t n = read_counted(file, bytes, sizeof(bytes));

		if (n == 0)
			return EXIT_PASSED;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || write_whole(file, bytes, (size_t)n) == -1)
			return EXIT_BUG;
	}
}

int
writer_main(int argc, char *argv[])
{
	struct tally_file uncounted = {.taken = 0};

	if (argc < 1 || argv[0][0] < '0' || argv[0][0] > '1')
		return EXIT_USAGE;
	struct tallies *tallies = tally_map(WRITER_COUNTS_FD, 0, NULL);

	(void)prctl(PR_SET_NAME, "reeve-writer", 0, 0, 0);
	if (tallies == NULL)
		return EXIT_AGAIN;
	if (argc > 1 && text_equal(argv[1], "mend") &&
	    outlet_ends_torn(STDOUT_FILENO) &&
	    write_whole(&uncounted, "\n", 1) == -1)
		return EXIT_BUG;
	return copy(&tallies->files[argv[0][0] - '0']);
}
