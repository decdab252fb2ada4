/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"

/*
 * Pipes of processes whose instance has a newer one, or none any more: a
 * grandchild that left its group holds the write end. The logger reads them on,
 * and the init keeps its read ends: should the logger die, its successor gets
 * these too, so nothing in them is lost, and nobody who writes gets SIGPIPE.
 */

/* Something is in it, or somebody may write to it. */
static bool
lives(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};

	return poll(&look, 1, 0) != 1 || (look.revents & POLLIN) != 0 ||
	       (look.revents & (POLLHUP | POLLERR)) == 0;
}

static void
remove_at(struct core *core, uint32_t at)
{
	fd_close(&core->strays[at].fd);
	core->nstrays--;
	memmove(&core->strays[at], &core->strays[at + 1],
	    (core->nstrays - at) * sizeof(core->strays[0]));
}

void
stray_add(
    struct core *core, int *fd, const struct logger_message *who, bool attached)
{
	if (!lives(*fd)) {
		fd_close(fd);
		return;
	}
	if (core->nstrays == CORE_STRAYS_MAX) {
		log_warning("logger.strays",
		    "more than %d pipes of earlier processes are held: what is "
		    "in the oldest, of worker=%s replica=%lu pid=%ld, is lost "
		    "if the logger dies",
		    CORE_STRAYS_MAX, core->strays[0].who.worker,
		    (unsigned long)core->strays[0].who.replica,
		    (long)core->strays[0].who.pid);
		remove_at(core, 0);
	}
	struct stray *stray = &core->strays[core->nstrays++];

	*stray = (struct stray){.fd = *fd, .attached = attached, .who = *who};
	stray->who.kind = LOGGER_ATTACH;
	stray->who.stray = 1;
	*fd = -1;
}

void
stray_ended(struct core *core, const struct logger_message *who)
{
	for (uint32_t i = 0; i < core->nstrays; i++) {
		const struct logger_message *is = &core->strays[i].who;
		if (is->slot != who->slot || is->pid != who->pid ||
		    is->incarnation != who->incarnation ||
		    is->stream != who->stream)
			continue;
		remove_at(core, i);
		return;
	}
}

bool
strays_attach(struct core *core)
{
	for (uint32_t i = 0; i < core->nstrays; i++) {
		struct stray *stray = &core->strays[i];
		if (stray->attached)
			continue;
		if (fd_send(core->logger.socket.fd, &stray->who,
		        sizeof(stray->who), &stray->fd, 1, NULL) == -1)
			return false;
		stray->attached = true;
	}
	return true;
}

void
strays_detached(struct core *core)
{
	for (uint32_t i = 0; i < core->nstrays; i++)
		core->strays[i].attached = false;
}

void
strays_close(struct core *core)
{
	while (core->nstrays > 0)
		remove_at(core, core->nstrays - 1);
}

void
strays_take(struct core *core, uint32_t used)
{
	core->nstrays = MIN(used, (uint32_t)CORE_STRAYS_MAX);
	for (uint32_t i = core->nstrays; i-- > 0;) {
		struct stray *stray = &core->strays[i];
		if (stray->fd <= STDERR_FILENO ||
		    fcntl(stray->fd, F_GETFD) == -1 ||
		    stray->who.magic != LOGGER_MAGIC) {
			stray->fd = -1;
			remove_at(core, i);
		}
	}
}
