/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/text.h"
#include "supervisor/init/outlet.h"
#include "supervisor/init/writer.h"

static int
write_whole(const char *bytes, size_t len)
{
	const struct timespec a_while = {0, WRITER_RETRY_MS * 1000000L};

	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

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

int
writer_main(int argc, char *argv[])
{
	static char bytes[WRITER_CHUNK];
	bool mends = argc > 0 && text_equal(argv[0], "mend");

	(void)prctl(PR_SET_NAME, "reeve-writer", 0, 0, 0);
	if (mends && outlet_ends_torn(STDOUT_FILENO) &&
	    write_whole("\n", 1) == -1)
		return EXIT_BUG;
	for (;;) {
		ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

		if (n == 0)
			return EXIT_PASSED;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || write_whole(bytes, (size_t)n) == -1)
			return EXIT_BUG;
	}
}
