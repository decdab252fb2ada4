/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REQUEST_H
#define REEVE_PROBES_REQUEST_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/*
 * The wire between whoever wants to know and the prober (`reeve-tool probe`,
 * a child of its own that may hang or crash): one JSON request a line on its
 * stdin, one verdict line (reeve.observation/1) on its stdout, in order.
 * Endpoints and secrets travel only here, never in argv or the environment.
 *
 * A line may hold an array of requests: they are answered one a line, in order,
 * and looks at queues of one server (Redis) share their round trips.
 * A request: {"kind":"postgres","subject":"check schema","timeout_ms":5000,…}
 * with the kind's own parameters, the same words as in the manifest:
 *   dns {host} · tcp {host,port | unix} · tls {host,port,serverName}
 *   http {url,method,body,headers,status:[…],contains,followRedirects}
 *   postgres {url,tables:[{name,columns,grants}],indexes,
 *             migration:{table,column,version},claim,query,equals,atLeast,
 *             execute,by}
 *   mysql {as postgres}
 *   redis {url,key,field,equals,atLeast,exists,by}
 *   s3 {url,endpoint,region,accessKey,secretKey,sessionToken,pathStyle,
 *       key,exists,delete}
 *   sqlite {path,query,equals,atLeast,execute,by}
 *   command {command:[…],exitCode,contains} · file {path,exists,contains}
 *   queue {queueKind,url,options:{…},op, …}: probes/queue/request.h
 *   log {worker,reader:[…] | path, marker} · metric {url,name,atLeast,base}
 *   supervisor {name,status} · processes {workers:[{name,command:[…]}]}
 *   platform {}
 * For all of them: "canary", "secrets":[…] (values that no answer may hold),
 * "tls":{"ca":FILE,"serverName":NAME} where there is TLS.
 * "unless": the "tag" of an earlier answer ("" for the first): where all but
 * the times would be the same again, the answer is {"same":TAG,"at":…}.
 * "canary" (a UUID) in postgres, mysql and sqlite binds $(CANARY) as a
 * parameter; in redis, http, files and payloads it is substituted as text.
 * docs/probes.md lists causes, codes and facts of the answers.
 */

struct probe_request {
	const char *json; /* one line, no newline; may hold secrets */
	const char
	    *subject; /* for the answer that we write if it never comes */
	const char *kind;
	int64_t deadline_ms; /* monotonic: killed then; the answer is unknown */
	/* Those with the same text go to one prober, which keeps what it
	 * opened: the URL with its credentials. NULL: a prober of its own. */
	const char *endpoint;
	bool together; /* in one line with them: it shares their round trips */
	/* Set by the pool: always a whole verdict line, never NULL after the
	 * run */
	const char *answer;
	size_t answer_len;
};

struct probe_pool_options {
	const char *tool; /* path of reeve-tool; NULL: /proc/self/exe */
	unsigned jobs;    /* probers at once; 0: 8 */
	/* called as each answer comes, for progress; may be NULL */
	void (*progress)(void *arg, const struct probe_request *request,
	    size_t done, size_t total);
	void *arg;
};

/* Runs all requests in probers, each with its own deadline. Those of one
 * endpoint share a prober, and get more of them only when every endpoint has
 * one and theirs is slow; what keeps a prober from getting in at all is the
 * answer for all of them. Every request has an answer afterwards: what hung,
 * crashed or answered garbage is "unknown" with the cause. Only our own failure
 * to start anything is -1. */
int probe_pool_run(struct probe_request *requests, size_t count,
    const struct probe_pool_options *options, struct arena *arena,
    struct err *err) MUST_CHECK;

/* The prober's side: serves requests from `in` to `out` until end of file.
 * Keeps one connection for each endpoint between requests. Returns an exit
 * code. */
int probe_serve(int in, int out);

#endif
