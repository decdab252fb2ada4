/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/validate.h"

void
validate_goes_with(struct validation *v, const struct node *map,
    const char *what, const char *needs)
{
	const struct node *node = node_get(map, what);

	if (node != NULL && node_get(map, needs) == NULL)
		complain(v->complaints, node->key, "'%s' needs '%s' beside it",
		    what, needs);
}

static void
check_check(struct validation *v, const struct node *check)
{
	static const char *const sql[] = {"postgres", "mysql", "sqlite"};
	const struct node *redis = node_get(check, "redis");

	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		const struct node *look = node_get(check, sql[i]);
		validate_goes_with(v, look, "equals", "query");
		validate_goes_with(v, look, "atLeast", "query");
		if (node_get(look, "query") != NULL &&
		    node_get(look, "equals") == NULL)
			validate_goes_with(v, look, "query", "atLeast");
	}
	validate_goes_with(v, redis, "equals", "key");
	validate_goes_with(v, redis, "exists", "key");
	if (node_get(redis, "key") != NULL && node_get(redis, "equals") == NULL)
		validate_goes_with(v, redis, "key", "exists");
}

static void
check_smoke(struct validation *v, const struct node *smoke)
{
	const struct node *submit = node_get(smoke, "submit");
	const struct node *payload = node_get(submit, "payload");
	const char *queue = node_text(node_get(submit, "queue"));

	if (node_text(payload) != NULL &&
	    strstr(payload->text, "$(CANARY)") == NULL)
		complain(v->complaints, payload,
		    "'payload' must hold $(CANARY): without it the job can't "
		    "be told from another");
	for (const struct node *it = node_items(node_get(smoke, "stages"));
	     it != NULL; it = it->next) {
		const struct node *log = node_get(it, "log");

		validate_goes_with(v, it, "state", "queue");
		validate_goes_with(v, it, "queue", "state");
		if (node_get(log, "path") != NULL &&
		    node_get(log, "worker") != NULL)
			complain(v->complaints, node_get(log, "worker"),
			    "'worker' and 'path' exclude each other: a line is "
			    "looked for in a worker's output or in a file");
	}
	if (!text_equal(node_text(node_get(smoke, "mode")), "isolated"))
		return;
	for (const struct node *it = node_items(node_get(v->root, "queues"));
	     it != NULL; it = it->next) {
		if (text_equal(node_text(node_get(it, "name")), queue) &&
		    node_get(it, "kind") != NULL &&
		    node_get(it, "test") == NULL)
			complain(v->complaints, node_get(smoke, "mode"),
			    "'isolated' needs the key 'test' of queue '%s'",
			    queue);
	}
}

static void
for_each(struct validation *v, const char *list,
    void (*check)(struct validation *v, const struct node *node))
{
	for (const struct node *it = node_items(node_get(v->root, list));
	     it != NULL; it = it->next)
		check(v, it);
}

void
validate_together(struct validation *v)
{
	for_each(v, "queues", validate_queue);
	for_each(v, "workers", validate_worker);
	for_each(v, "initWorkers", validate_init_worker);
	validate_order(v);
	for_each(v, "producers", validate_env);
	for_each(v, "checks", check_check);
	for_each(v, "smoke", check_smoke);
	validate_queue_names(v);
	validate_env(v, v->root);
	validate_expansions(v);
}
