/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"

enum {
	HOST_MAX = 64
};

static bool
parse_v6(
    char *host, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in6 *v6 = (void *)ret;

	host[strlen(host) - 1] = '\0';
	*v6 = (struct sockaddr_in6){
	    .sin6_family = AF_INET6, .sin6_port = htons(port)};
	*ret_len = sizeof(*v6);
	return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
}

static bool
parse_v4(const char *host, uint16_t port, struct sockaddr_storage *ret,
    socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (void *)ret;

	*v4 = (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(port)};
	*ret_len = sizeof(*v4);
	return *host == '\0' || inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

int
address_parse(const char *text, struct sockaddr_storage *ret,
    socklen_t *ret_len, struct err *err)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_MAX] = "";
	int64_t port = 0;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return err_set(err, ERR_INPUT,
		    "'%.80s' is not ADDRESS:PORT, such as 127.0.0.1:9102",
		    text);
	if (text_i64(colon + 1, 1, UINT16_MAX, &port, err) == -1)
		return err_wrap(err, "the port of '%.80s'", text);
	memcpy(host, text, (size_t)(colon - text));
	bool brackets = host[0] == '[' && text_ends(host, "]");

	if (brackets ? parse_v6(host, (uint16_t)port, ret, ret_len)
	             : parse_v4(host, (uint16_t)port, ret, ret_len))
		return 0;
	return err_set(err, ERR_INPUT,
	    "'%s' is not a numeric address; 127.0.0.1:9102, [::1]:9102 and "
	    ":9102 are",
	    text);
}
