/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded into linux.uml (LD_PRELOAD). Its kernel 6.1 keeps a processor's
 * extended state in a buffer that ends behind AVX-512; where the state is
 * larger (AMX) the host refuses to take back a part of it, and that kernel
 * panics. So a part is put into the whole that is there, and the whole is
 * set.
 */
#include "base/base.h"

#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long
set_state(pid_t pid, const struct iovec *part)
{
	static char bytes[65536];
	struct iovec whole = {bytes, sizeof(bytes)};
	void *state = (void *)(uintptr_t)NT_X86_XSTATE;

	if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, state, &whole) == -1)
		return -1;
	memcpy(bytes, part->iov_base, MIN(part->iov_len, whole.iov_len));
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, state, &whole);
}

long
ptrace(enum __ptrace_request request, ...)
{
	long word = 0;
	va_list args;

	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *address = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
		return set_state(pid, data);
	/* the system call stores a peeked word, libc returns it */
	bool peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
	             request == PTRACE_PEEKUSER;
	long rc = syscall(
	    SYS_ptrace, request, pid, address, peeks ? (void *)&word : data);
	return rc == -1 || !peeks ? rc : word;
}
