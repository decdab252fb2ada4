/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/init/stream.h"

/*
 * A killed logger leaves what it had done up to some instruction. So one is
 * stepped through all of them, and after each what it would leave is looked at
 * as its successor would: the counts, settled; the file; what is gone from the
 * pipe. Where the counts are said to be exact, they must be.
 */
enum {
	PID = 4711, /* that the pipe was made for */
	BATCHES_MAX = 4,
	TEXT_MAX = 2 * LOGGER_LINE_MAX,
	COUNTS_BYTES = 1024, /* of one instance: tally_bytes() */
};

static const char END[] = ""; /* a batch: the worker closes its pipe */

struct course {
	enum logs_format format;
	uint32_t rate_lines; /* 0: no limit */
	int32_t within_of;   /* the process whose line was half read before */
	unsigned from; /* the batch, from 1, whose reading is stepped; 0: from
	                  the attaching on */
	const char *batches[BATCHES_MAX]; /* each is one read; NULL ends them */
};

/* Of the process that is stepped and of its parent. */
struct shared {
	bool over;
	_Alignas(struct tallies) char counts[COUNTS_BYTES];
};

struct steps {
	struct shared *shared;
	pid_t child;

	/* of a course */
	const struct course *course;
	unsigned stops;       /* of the child, for its parent */
	int pipe[2], file_fd; /* the worker's, the logger's stdout */
	char told[TEXT_MAX];  /* what the worker has written */
	size_t told_len;
	bool ended; /* it has closed its pipe */
	/* how often the counts were exact: at all, while some of what was read
	 * was held, and with something in the file; and how often not */
	uint64_t sure, held, written, unsure;
};

static struct tallies *
counts_of(char *bytes)
{
	return (void *)bytes;
}

/* --- stepping ------------------------------------------------------------- */

static void
steps_begin(struct steps *steps)
{
	assert_in_range(tally_bytes(1), 1, COUNTS_BYTES);
	steps->shared = mmap(NULL, sizeof(*steps->shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(steps->shared != MAP_FAILED);
	counts_of(steps->shared->counts)->used = 1;
}

static void
steps_end(struct steps *steps)
{
	assert_int_equal(kill(steps->child, SIGKILL), 0);
	assert_int_equal(waitpid(steps->child, NULL, 0), steps->child);
	assert_int_equal(munmap(steps->shared, sizeof(*steps->shared)), 0);
}

/* In the child, which its parent lets go on. */
static void
let_step(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 || raise(SIGSTOP) != 0)
		_exit(1);
}

static _Noreturn void
say_over(struct shared *shared)
{
	shared->over = true;
	for (;;)
		(void)pause();
}

static int
await_stop(const struct steps *steps)
{
	int status = 0;

	assert_int_equal(waitpid(steps->child, &status, 0), steps->child);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status);
}

static void
await_first_stop(const struct steps *steps)
{
	assert_int_not_equal(steps->child, -1);
	assert_int_equal(await_stop(steps), SIGSTOP);
	assert_int_equal(
	    ptrace(PTRACE_SETOPTIONS, steps->child, 0, PTRACE_O_EXITKILL), 0);
}

/* Returns the signal that it stopped by: SIGTRAP behind one instruction. */
static int
go_on(const struct steps *steps, bool by_one)
{
	assert_int_equal(ptrace(by_one ? PTRACE_SINGLESTEP : PTRACE_CONT,
	                     steps->child, 0, 0),
	    0);
	return await_stop(steps);
}

/* --- a logger ------------------------------------------------------------- */

static void
attach(struct streams *streams, const struct steps *steps)
{
	const struct course *course = steps->course;
	struct logger_message message = {.magic = LOGGER_MAGIC,
	    .kind = LOGGER_ATTACH,
	    .stream = LOGGER_STDOUT,
	    .pid = PID,
	    .logs = {.format = course->format,
	        .keep_lines = 10,
	        .rate_lines = course->rate_lines,
	        .burst_ms = 1000},
	    .worker = "w"};

	if (stream_attach(streams, &message, steps->pipe[0], NULL) == -1)
		_exit(1);
}

static _Noreturn void
be_logger(const struct steps *steps)
{
	/* Large, and only one of it. */
	static struct streams streams;
	static struct loop_timer *heap[8];
	static struct loop loop;
	struct tallies *tallies = counts_of(steps->shared->counts);
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (dup2(steps->file_fd, STDOUT_FILENO) == -1 ||
	    dup2(nowhere, STDERR_FILENO) == -1 || close(steps->pipe[1]) == -1 ||
	    loop_init(&loop, heap, ARRAY_LEN(heap), NULL) == -1 ||
	    streams_init(
	        &streams, &loop, tallies, 1, LOGGER_KEEP_BYTES, NULL) == -1 ||
	    logserve_init(&streams.server, &loop, -1, &streams.keep, NULL) ==
	        -1)
		_exit(1);
	streams.untold = true;
	let_step();
	attach(&streams, steps);
	for (size_t i = 0; steps->course->batches[i] != NULL; i++) {
		(void)raise(SIGSTOP); /* for the batch */
		(void)stream_read(&streams.list[0]);
	}
	say_over(steps->shared);
}

static uint64_t
newlines(const char *bytes, size_t len)
{
	uint64_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += bytes[i] == '\n';
	return count;
}

static uint64_t
lines_in_file(const struct steps *steps)
{
	static char bytes[2 * TEXT_MAX];
	ssize_t n = pread(steps->file_fd, bytes, sizeof(bytes), 0);

	assert_in_range(n, 0, sizeof(bytes) - 1);
	return newlines(bytes, (size_t)n);
}

static size_t
bytes_taken(const struct steps *steps)
{
	int left = 0;

	assert_int_equal(ioctl(steps->pipe[0], FIONREAD, &left), 0);
	return steps->told_len - (size_t)left;
}

/* What it would leave, if it were killed now. */
static void
look(struct steps *steps)
{
	_Alignas(struct tallies) char copy[COUNTS_BYTES];
	const struct tally *tally = &counts_of(copy)->slots[0];

	memcpy(copy, steps->shared->counts, sizeof(copy));
	tally_settle(counts_of(copy));
	if (tally->unsure != 0) {
		steps->unsure++;
		return;
	}
	size_t taken = bytes_taken(steps);
	/* a piece of a line that is too long counts as one */
	uint64_t lines = newlines(steps->told, taken) + taken / LOGGER_LINE_MAX;
	uint64_t gone =
	    tally->written.lines + tally->limited.lines + tally->lost.lines;
	bool within = taken > 0 ? steps->told[taken - 1] != '\n'
	                        : steps->course->within_of == PID;

	assert_int_equal(tally->written.lines, lines_in_file(steps));
	assert_int_equal(tally->received.bytes, taken);
	assert_int_equal(taken,
	    tally->written.bytes + tally->limited.bytes + tally->lost.bytes);
	if (steps->ended) {
		/* a half line gets its newline, and nothing follows it */
		assert_in_range(gone, lines, lines + 1);
	} else {
		assert_int_equal(gone, lines);
		assert_int_equal(
		    tally->place[0].pid == PID && tally->place[0].within != 0,
		    within);
	}
	steps->sure++;
	steps->held += tally->lost.lines > 0 || tally->lost.bytes > 0;
	steps->written += tally->written.lines > 0;
}

static void
tell(struct steps *steps, const char *batch)
{
	size_t len = strlen(batch);

	if (batch == END) {
		steps->ended = true;
		assert_int_equal(close(steps->pipe[1]), 0);
		return;
	}
	assert_true(steps->told_len + len < sizeof(steps->told));
	assert_int_equal(write(steps->pipe[1], batch, len), len);
	memcpy(steps->told + steps->told_len, batch, len);
	steps->told_len += len;
}

static void
start_logger(struct steps *steps)
{
	char path[] = "/tmp/reeve-steps.XXXXXX";
	struct tally *tally = &counts_of(steps->shared->counts)->slots[0];

	tally->place[0].pid = steps->course->within_of;
	tally->place[0].within = steps->course->within_of != 0;
	steps->file_fd = mkostemp(path, O_APPEND | O_CLOEXEC);
	assert_int_not_equal(steps->file_fd, -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pipe2(steps->pipe, O_CLOEXEC), 0);
	steps->child = fork();
	if (steps->child == 0)
		be_logger(steps);
	await_first_stop(steps);
}

static void
counts_are_exact(const struct course *course)
{
	/* Large. */
	static struct steps steps;
	unsigned told = 0;

	steps = (struct steps){.course = course};
	steps_begin(&steps);
	start_logger(&steps);
	while (!steps.shared->over) {
		if (go_on(&steps, told >= course->from) == SIGSTOP)
			tell(&steps, course->batches[told++]);
		look(&steps);
	}
	steps_end(&steps);
	(void)close(steps.pipe[0]);
	if (!steps.ended)
		(void)close(steps.pipe[1]);
	(void)close(steps.file_fd);
	/* nor is it said that they aren't where they are */
	assert_int_not_equal(steps.sure, 0);
	assert_int_not_equal(steps.held, 0);
	assert_int_not_equal(steps.written, 0);
	assert_int_not_equal(steps.unsure, 0);
}

static void
counts_are_exact_in_each_format(struct course course)
{
	static const enum logs_format formats[] = {
	    LOGS_PLAIN, LOGS_PREFIX, LOGS_JSON};

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		course.format = formats[i];
		counts_are_exact(&course);
	}
}

static void
a_batch_that_ends_within_a_line(void **state)
{
	(void)state;
	counts_are_exact_in_each_format((struct course){
	    .from = 1, .batches = {"one\ntwo\nthe thir", "d\n"}});
}

static void
a_batch_that_begins_within_a_line_of_a_dead_logger(void **state)
{
	(void)state;
	counts_are_exact_in_each_format((struct course){.within_of = PID,
	    .from = 1,
	    .batches = {"still the rest", " of it\none\nhal"}});
}

static void
an_earlier_process_place_is_not_taken_for_its(void **state)
{
	(void)state;
	counts_are_exact(&(struct course){.format = LOGS_PLAIN,
	    .within_of = PID - 1,
	    .batches = {"one\ntwo\nhal"}});
}

static void
a_half_line_at_the_end_gets_its_newline(void **state)
{
	(void)state;
	counts_are_exact(&(struct course){
	    .format = LOGS_PREFIX, .from = 2, .batches = {"one\nhalf", END}});
}

static void
a_piece_of_a_long_line_gets_its_newline(void **state)
{
	static char piece[LOGGER_LINE_MAX + 1];
	(void)state;

	memset(piece, 'x', sizeof(piece) - 1);
	counts_are_exact(&(struct course){
	    .format = LOGS_PREFIX, .from = 2, .batches = {piece, END}});
}

static void
lines_beyond_the_rate(void **state)
{
	(void)state;
	counts_are_exact(&(struct course){.format = LOGS_PLAIN,
	    .rate_lines = 1,
	    .from = 1,
	    .batches = {"one\ntwo\nhal"}});
}

/* --- its successor -------------------------------------------------------- */

static _Noreturn void
be_successor(struct shared *shared)
{
	let_step();
	tally_settle(counts_of(shared->counts));
	say_over(shared);
}

static void
settles_to_the_same(uint32_t reading, uint32_t writing)
{
	/* Large. */
	static struct steps steps;
	_Alignas(struct tallies) char copy[COUNTS_BYTES];
	char settled[COUNTS_BYTES];

	steps = (struct steps){.child = -1};
	steps_begin(&steps);
	struct tallies *tallies = counts_of(steps.shared->counts);
	tallies->reading = reading;
	tallies->writing = writing;
	tallies->slots[0].received = (struct tally_count){7, 70};
	tallies->slots[0].written = (struct tally_count){4, 40};
	memcpy(copy, tallies, sizeof(copy));
	tally_settle(counts_of(copy));
	memcpy(settled, copy, sizeof(settled));

	steps.child = fork();
	if (steps.child == 0)
		be_successor(steps.shared);
	await_first_stop(&steps);
	while (!steps.shared->over) {
		(void)go_on(&steps, true);
		memcpy(copy, tallies, sizeof(copy));
		tally_settle(counts_of(copy));
		assert_memory_equal(copy, settled, sizeof(copy));
	}
	steps_end(&steps);
}

static void
a_successor_that_is_killed_as_it_settles(void **state)
{
	(void)state;
	settles_to_the_same(0, 0);
	settles_to_the_same(1, 0);
	settles_to_the_same(0, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_that_ends_within_a_line),
	    cmocka_unit_test(
	        a_batch_that_begins_within_a_line_of_a_dead_logger),
	    cmocka_unit_test(an_earlier_process_place_is_not_taken_for_its),
	    cmocka_unit_test(a_half_line_at_the_end_gets_its_newline),
	    cmocka_unit_test(a_piece_of_a_long_line_gets_its_newline),
	    cmocka_unit_test(lines_beyond_the_rate),
	    cmocka_unit_test(a_successor_that_is_killed_as_it_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
