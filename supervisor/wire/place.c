/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/wire/place.h"

/* The value of NAME, or NULL when it is unset or empty. */
static const char *
value_of(const char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment != NULL && *environment != NULL; environment++)
		if (strncmp(*environment, name, len) == 0 &&
		    (*environment)[len] == '=' &&
		    (*environment)[len + 1] != '\0')
			return *environment + len + 1;
	return NULL;
}

int
place_candidate(const char *name, const char *const *environment,
    unsigned index, struct place_socket *ret, struct err *err)
{
	const char *given = value_of(environment, "REEVE_SOCKET");
	const char *runtime = value_of(environment, "XDG_RUNTIME_DIR");
	struct place_socket place = {.explicit_dir = given != NULL};

	if (name == NULL)
		name = "";
	if (text_copy(place.name, sizeof(place.name), name, err) == -1)
		return -1;
	if (given != NULL) {
		/* the abstract name: for a listener that couldn't use it */
		if (index > 1 || (index == 1 && name[0] == '\0'))
			return err_set(err, ERR_INPUT, "no more places");
		if (index == 0 &&
		    text_copy(place.dir, sizeof(place.dir), given, err) == -1)
			return err_wrap(err, "REEVE_SOCKET");
		*ret = place;
		return 0;
	}
	int rc = 0;
	if (index == 0)
		rc = text_format(
		    place.dir, sizeof(place.dir), err, "/run/reeve/%s", name);
	else if (index == 1 && runtime != NULL)
		rc = text_format(place.dir, sizeof(place.dir), err,
		    "%s/reeve/%s", runtime, name);
	else if (index > (runtime != NULL ? 2U : 1U))
		return err_set(err, ERR_INPUT, "no more places");
	if (rc == -1)
		return err_wrap(err, "socket directory");
	*ret = place;
	return 0;
}

/* Everything above us is somebody else's: only the last directory is ours, and
 * it must be nobody's but ours. */
static int
use_dir(const char *dir, struct err *err)
{
	struct stat st;

	if (fd_make_dirs(dir, 0755, err) == -1)
		return -1;
	if (stat(dir, &st) == -1)
		return err_sys(err, "stat '%s'", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_INPUT, "'%s' is no directory", dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(
		    err, ERR_REFUSED, "'%s' belongs to somebody else", dir);
	if (access(dir, W_OK | X_OK) == -1)
		return err_sys(err, "'%s'", dir);
	return 0;
}

int
place_choose(const char *name, const char *const *environment,
    struct place_socket *ret, struct err *err)
{
	struct place_socket place = {.dir = ""};

	for (unsigned i = 0;
	     place_candidate(name, environment, i, &place, err) == 0; i++)
		if (place.dir[0] == '\0' || use_dir(place.dir, NULL) == 0) {
			*ret = place;
			return 0;
		}
	return -1;
}

int
place_address(const struct place_socket *place, const char *file,
    struct sockaddr_un *ret, socklen_t *ret_len, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = sizeof(address.sun_path);
	int rc;

	if (place->dir[0] != '\0')
		rc = text_format(
		    address.sun_path, size, err, "%s/%s", place->dir, file);
	else /* the first byte stays 0: an abstract name */
		rc = text_format(address.sun_path + 1, size - 1, err,
		    "reeve/%s/%lu/%s", place->name, (unsigned long)geteuid(),
		    file);
	if (rc == -1)
		return err_wrap(err, "address of a socket");
	size_t len = place->dir[0] != '\0' ? strlen(address.sun_path) + 1
	                                   : 1 + strlen(address.sun_path + 1);
	*ret = address;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

bool
place_lives(const struct sockaddr_un *address, socklen_t len, int type)
{
	int other = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (other == -1)
		return false;
	/* EAGAIN: its queue is full, so it is there */
	bool lives =
	    connect(other, (const struct sockaddr *)address, len) == 0 ||
	    errno == EAGAIN;
	fd_close(&other);
	return lives;
}
