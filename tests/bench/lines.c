/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of 100 bytes with numbers in them: a worker that writes them, the limit
 * for everybody who passes them on, and a reader that finds what was lost.
 *
 *     lines write MEGABYTES [FIFO]   to stdout, 4,000 bytes at a time. When a
 *                                    tenth is out and when all is, it opens the
 *                                    FIFO to write, then to read
 *     lines copy                     stdin to stdout: a read, a write, no more
 *     lines check MEGABYTES FILE…    prints how many lines are lost, torn and
 *                                    out of their order; 1 when any is
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE = 100,
	DIGITS = 10,
	EACH_WRITE = 40,
	LINES_PER_MB = 10000,
	COPY = 65536,
	LONGEST = 1024,
	FAILED = 99,
};

static void
make_line(char *line, uint64_t number)
{
	memset(line, 'x', LINE - 1);
	for (size_t i = DIGITS; i-- > 0; number /= 10)
		line[1 + i] = (char)('0' + number % 10);
	line[0] = '#';
	line[LINE - 1] = '\n';
}

/* Says that we are here, and waits for leave. */
static void
meet(const char *fifo)
{
	const int modes[] = {O_WRONLY, O_RDONLY};

	for (size_t i = 0; i < ARRAY_LEN(modes) && fifo != NULL; i++) {
		int fd = open(fifo, modes[i] | O_CLOEXEC);
		if (fd != -1)
			(void)close(fd);
	}
}

static int
write_lines(uint64_t count, const char *fifo)
{
	static char bytes[EACH_WRITE * LINE];

	for (uint64_t at = 0; at < count; at += EACH_WRITE) {
		for (uint64_t i = 0; i < EACH_WRITE; i++)
			make_line(bytes + i * LINE, at + i);
		for (size_t done = 0; done < sizeof(bytes);) {
			ssize_t n = write(
			    STDOUT_FILENO, bytes + done, sizeof(bytes) - done);
			if (n == -1)
				return FAILED;
			done += (size_t)n;
		}
		if (at == count / 10 / EACH_WRITE * EACH_WRITE)
			meet(fifo);
	}
	meet(fifo);
	return 0;
}

static int
copy(void)
{
	static char bytes[COPY];
	ssize_t n;

	while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
		if (write(STDOUT_FILENO, bytes, (size_t)n) != n)
			return FAILED;
	return n == 0 ? 0 : FAILED;
}

struct found {
	uint64_t next, lines, torn, disordered;
};

/* What stands before and behind the line is its copier's own. */
static void
look(struct found *found, const char *text)
{
	char want[LINE + 1] = "";
	const char *begin = strchr(text, '#');
	uint64_t number = begin == NULL ? 0 : strtoull(begin + 1, NULL, 10);

	make_line(want, number);
	if (begin == NULL || strncmp(begin, want, LINE - 1) != 0) {
		found->torn++;
		return;
	}
	found->lines++;
	found->disordered += number < found->next;
	found->next = number + 1;
}

static int
check(uint64_t count, char *files[])
{
	static char text[LONGEST];
	struct found found = {.next = 0};

	for (; *files != NULL; files++) {
		FILE *file = fopen(*files, "re");
		if (file == NULL)
			return FAILED;
		while (fgets(text, sizeof(text), file) != NULL)
			look(&found, text);
		(void)fclose(file);
	}
	uint64_t lost = count - MIN(count, found.lines);

	(void)printf("%llu %llu %llu\n", (unsigned long long)lost,
	    (unsigned long long)found.torn,
	    (unsigned long long)found.disordered);
	return lost + found.torn + found.disordered > 0 ? 1 : 0;
}

int
main(int argc, char *argv[])
{
	uint64_t count =
	    argc > 2 ? strtoull(argv[2], NULL, 10) * LINES_PER_MB : 0;

	if (argc > 1 && strcmp(argv[1], "copy") == 0)
		return copy();
	if (count > 0 && strcmp(argv[1], "write") == 0)
		return write_lines(count, argc > 3 ? argv[3] : NULL);
	if (count > 0 && argc > 3 && strcmp(argv[1], "check") == 0)
		return check(count, argv + 3);
	return 64;
}
