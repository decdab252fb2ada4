/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/take.h"

/* What one line may hold; more is hostile or a bug. */
enum {
	WORKERS_MAX = 10000,
	INSTANCES_MAX = 10000,
	DRIFT_MAX = 10000,
	PROCESSES_MAX = 10000,
};

static int
take_instances(struct arena *arena, const cJSON *object,
    struct observed_worker *ret, struct err *err)
{
	const cJSON *instances = NULL;
	const cJSON *item = NULL;
	int count =
	    take_array(object, "instances", INSTANCES_MAX, &instances, err);

	if (count <= 0)
		return count;
	ret->instances =
	    arena_array(arena, (size_t)count, sizeof(*ret->instances));
	cJSON_ArrayForEach(item, instances)
	{
		struct observed_instance *one =
		    &ret->instances[ret->ninstances++];
		if (json_i64(item, "index", 0, &one->index, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    json_copy(arena, item, "state", &one->state, err) == -1 ||
		    json_bool(item, "ready", false, &one->ready, err) == -1 ||
		    json_i64(item, "restarts", 0, &one->restarts, err) == -1 ||
		    json_i64(item, "started_at", 0, &one->started_wall_ms,
		        err) == -1 ||
		    json_copy(arena, item, "config_digest", &one->config_digest,
		        err) == -1 ||
		    json_copy(arena, item, "last_exit", &one->last_exit, err) ==
		        -1 ||
		    json_copy(arena, item, "waits_for", &one->waits_for, err) ==
		        -1)
			return err_wrap(err, "'instances'");
	}
	return 0;
}

static int
take_workers(struct arena *arena, const cJSON *object,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *workers = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "workers", WORKERS_MAX, &workers, err);

	if (count <= 0)
		return count;
	ret->workers = arena_array(arena, (size_t)count, sizeof(*ret->workers));
	cJSON_ArrayForEach(item, workers)
	{
		struct observed_worker *one = &ret->workers[ret->nworkers++];
		if (json_copy(arena, item, "name", &one->name, err) == -1 ||
		    json_copy(arena, item, "held", &one->held, err) == -1 ||
		    json_copy(arena, item, "under_way", &one->under_way, err) ==
		        -1 ||
		    json_i64(item, "desired", 0, &one->desired, err) == -1 ||
		    json_i64(item, "ready", 0, &one->ready, err) == -1 ||
		    take_instances(arena, item, one, err) == -1)
			return err_wrap(err, "'workers'");
	}
	return 0;
}

static int
take_drift(struct arena *arena, const cJSON *object,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *drift = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "drift", DRIFT_MAX, &drift, err);

	if (count <= 0)
		return count;
	ret->drift = arena_array(arena, (size_t)count, sizeof(*ret->drift));
	cJSON_ArrayForEach(item, drift)
	{
		struct observed_drift *one = &ret->drift[ret->ndrift++];
		if (json_copy(arena, item, "worker", &one->worker, err) == -1 ||
		    json_copy(arena, item, "class", &one->class, err) == -1 ||
		    json_copy(arena, item, "key", &one->key, err) == -1 ||
		    json_copy(arena, item, "summary", &one->summary, err) ==
		        -1 ||
		    json_copy(arena, item, "evidence", &one->evidence, err) ==
		        -1)
			return err_wrap(err, "'drift'");
	}
	return 0;
}

int
take_supervisor(struct arena *arena, const cJSON *line, struct observation *ret,
    struct err *err)
{
	const cJSON *object = NULL;

	if (json_object(line, "supervisor", &object, err) == -1)
		return -1;
	if (object == NULL)
		return 0;
	struct observed_supervisor *sup = arena_alloc(arena, sizeof(*sup));
	if (take_result(object, "reached", &sup->reached, err) == -1 ||
	    json_copy(arena, object, "why", &sup->why, err) == -1 ||
	    json_copy(arena, object, "name", &sup->name, err) == -1 ||
	    json_copy(arena, object, "operator_state", &sup->operator_state,
	        err) == -1 ||
	    json_copy(arena, object, "limits_missing", &sup->limits_missing,
	        err) == -1 ||
	    json_copy(arena, object, "limits_why", &sup->limits_why, err) ==
	        -1 ||
	    json_copy(arena, object, "manifest_digest", &sup->manifest_digest,
	        err) == -1 ||
	    take_workers(arena, object, sup, err) == -1 ||
	    take_drift(arena, object, sup, err) == -1)
		return err_wrap(err, "'supervisor'");
	ret->supervisor = sup;
	return 0;
}

int
take_processes(struct arena *arena, const cJSON *line, struct observation *ret,
    struct err *err)
{
	const cJSON *processes = NULL;
	const cJSON *item = NULL;
	int count =
	    take_array(line, "processes", PROCESSES_MAX, &processes, err);

	if (count == -1)
		return -1;
	if (processes == NULL)
		return 0;
	struct observed_process *all =
	    arena_array(arena, (size_t)count + 1, sizeof(*all));
	ret->processes = all;
	cJSON_ArrayForEach(item, processes)
	{
		struct observed_process *one = &all[ret->nprocesses++];
		if (json_copy(arena, item, "worker", &one->worker, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    json_copy(arena, item, "command", &one->command, err) ==
		        -1 ||
		    json_i64(item, "started_at", 0, &one->started_wall_ms,
		        err) == -1)
			return err_wrap(err, "'processes'");
	}
	return 0;
}
