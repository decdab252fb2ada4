/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/queue/postgres_library.h"

/*
 * The layouts, from the libraries' own migrations (queues.md part 6 has the
 * sources). A condition repeats the predicate of the library's index word for
 * word, since a partial index serves nothing else. What a column is called in
 * one version only is read through to_jsonb().
 */

#define UTC "(now() AT TIME ZONE 'utc')"
/* a timestamp without zone that holds UTC, as a moment */
#define MOMENT(column) "(" column " AT TIME ZONE 'utc')"
/* no index says which names there are: those of the newest jobs */
#define NEWEST(column, table)                                  \
	"SELECT DISTINCT n FROM (SELECT " column " AS n FROM " \
	"{s}." table " ORDER BY id DESC LIMIT 5000) s LIMIT 500"
/* pg-boss: expire_in is an interval up to 10, expire_seconds a number later */
#define BOSS_OVER                                                           \
	"j.started_on+coalesce(make_interval(secs=>(to_jsonb(j)->>"         \
	"'expire_seconds')::float8),(to_jsonb(j)->>'expire_in')::interval)" \
	"<now()"

/* River and Oban: an index (state, queue, priority, scheduled_at) gives the
 * oldest of each priority at once */
#define OLDEST_BY_PRIORITY(table, condition, first, last, moment) \
	"SELECT min(t) FROM generate_series(" first "," last      \
	") p(n), LATERAL (SELECT " moment " AS t FROM {s}." table \
	" j WHERE j.queue=$1::text AND " condition                \
	" AND j.priority=p.n ORDER BY j.scheduled_at LIMIT 1) o"

/* Que: a job is in hand while a session holds the advisory lock of its id */
#define QUE_LOCKED                                                              \
	"ARRAY(SELECT (l.classid::bigint<<32)|l.objid::bigint FROM pg_locks l " \
	"WHERE l.locktype='advisory' AND l.objsubid=1 AND "                     \
	"l.database=(SELECT oid FROM pg_database WHERE "                        \
	"datname=current_database()))"
#define QUE_LIVE "FROM {j} AND j.finished_at IS NULL AND j.expired_at IS NULL"

#define SOLID(executions)                                   \
	"FROM {s}.solid_queue_" executions "_executions e " \
	"LEFT JOIN {s}.solid_queue_jobs j ON j.id=e.job_id "
#define SOLID_GONE                                                     \
	"NOT EXISTS (SELECT 1 FROM {s}.solid_queue_processes p WHERE " \
	"p.id=e.process_id AND p.last_heartbeat_at>" UTC "-interval '5 min')"

#define PROCRASTINATE_GONE                                             \
	"NOT EXISTS (SELECT 1 FROM {s}.procrastinate_workers w WHERE " \
	"w.id=j.worker_id AND w.last_heartbeat>now()-interval '30 s')"

#define GOODJOB_GONE                                                \
	"NOT EXISTS (SELECT 1 FROM {s}.good_job_processes p WHERE " \
	"p.id=j.locked_by_id AND p.updated_at>" UTC "-interval '5 min')"

/* BullMQ on PostgreSQL: times are milliseconds since 1970 */
#define BULLMQ_NOW  "(extract(epoch FROM now())*1000)::bigint"
#define BULLMQ_OVER "j.state='active' AND j.locked_until_ms<" BULLMQ_NOW

/* statements are written over several lines
 * NOLINTBEGIN(bugprone-suspicious-missing-comma) */
const struct pg_library pg_libraries[] = {
    {
        .kind = "bullmqpg",
        .name = "BullMQ",
        .schema_key = "schema",
        .schema = "bullmq",
        .anchor = "job",
        .versions = "BullMQ 6",
        .jobs = "{s}.job j WHERE j.queue=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.state='waiting'",
            [PG_ACTIVE] = "FROM {j} AND j.state='active'",
            [PG_DELAYED] = "FROM {j} AND j.state='delayed'",
            [PG_FAILED] = "FROM {j} AND j.state='failed'",
            [PG_COMPLETED] = "FROM {j} AND j.state='completed'",
            [PG_LEASE_EXPIRED] = "FROM {j} AND " BULLMQ_OVER},
        .live = "FROM {j} AND j.state IN ('waiting','active')",
        .paused = "SELECT count(*) FROM {s}.meta WHERE queue=$1::text AND "
                  "field='paused' AND value='1'",
        .backs_off = "SELECT min((n.opts ? 'backoff')::int) FILTER (WHERE "
                     "n.max_attempts>1) FROM (SELECT j.* FROM {j} AND "
                     "j.state='waiting' LIMIT 10) n",
        .why_backs_off = {"a job that waits has attempts and no backoff",
            "the jobs that wait have a backoff"},
        .id = "j.id",
        .since = "to_timestamp(j.added_at_ms/1000.0)",
        .attempts = "j.attempts_made",
        .error = "j.failed_reason",
        .owner = "j.processed_by",
        .payload = "j.data::text",
        .known = "SELECT 1 FROM {s}.meta WHERE queue=$1::text UNION ALL "
                 "SELECT 1 FROM {j} LIMIT 1",
        .queues = "SELECT DISTINCT queue FROM {s}.meta LIMIT 5000",
        /* a worker names the session in which it listens, as in Redis */
        .consumers = "SELECT a.application_name||' '||a.pid,"
                     "coalesce(host(a.client_addr)||':'||a.client_port,''),"
                     "$1::text,true FROM pg_stat_activity a WHERE "
                     "a.datname=current_database() AND "
                     "(a.application_name=$1::text OR "
                     "starts_with(a.application_name,$1::text||':w:')) "
                     "LIMIT 256",
        .roll = true,
        /* by the library's own functions, which wake its workers */
        .submit = "SELECT {s}.add_job($1::text,'reeve-canary-'||$3::text,"
                  "'reeve-canary',$2::jsonb,'{\"attempts\":1}',0,0," BULLMQ_NOW
                  ",1,NULL,NULL,NULL,NULL,NULL,false)",
        .expects = "JSON",
        .follow = "SELECT CASE WHEN j.state='completed' THEN 'done' WHEN "
                  "j.state='failed' THEN 'dead' WHEN j.state='active' OR "
                  "j.attempts_made>0 THEN 'taken' ELSE 'visible' END,"
                  "j.processed_by,j.attempts_made,coalesce(j.failed_reason,"
                  "'state '||j.state) FROM {j} AND j.id=$2::text",
        .remove = "DELETE FROM {j} AND j.id=$2::text AND j.state<>'active'",
        .requeue = "SELECT i.id FROM unnest($2::text[]) i(id) WHERE "
                   "{s}.reprocess_job($1::text,i.id,'failed',false,true,"
                   "true)=1",
        .reclaim = "WITH freed AS (UPDATE {s}.job j SET state='waiting',"
                   "lock_token=NULL,locked_until_ms=NULL,stalled_marked="
                   "false,seq=nextval('{s}.job_seq') WHERE "
                   "j.queue=$1::text AND " BULLMQ_OVER " AND "
                   "j.id=ANY($2::text[]) RETURNING j.id), told AS (SELECT "
                   "pg_notify('bullmq_jobs',$1::text) FROM freed LIMIT 1) "
                   "SELECT f.id FROM freed f,(SELECT count(*) FROM told) t",
    },
    {
        .kind = "pgboss",
        .name = "pg-boss",
        .schema_key = "schema",
        .schema = "pgboss",
        .anchor = "job",
        .versions = "pg-boss 10 to 12",
        .jobs = "{s}.job j WHERE j.name=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.state<'active' AND "
                                "j.start_after<=now()",
            [PG_ACTIVE] = "FROM {j} AND j.state='active'",
            [PG_DELAYED] = "FROM {j} AND j.state<'active' AND "
                           "j.start_after>now()",
            [PG_FAILED] = "FROM {j} AND j.state='failed'",
            [PG_DEAD] = "FROM {s}.queue q JOIN {s}.job j ON "
                        "j.name=q.dead_letter WHERE q.name=$1::text AND "
                        "j.state<'active'",
            [PG_COMPLETED] = "FROM {j} AND j.state='completed'",
            [PG_LEASE_EXPIRED] =
                "FROM {j} AND j.state='active' AND " BOSS_OVER},
        .live = "FROM {j} AND j.state<='active'",
        .backs_off = "SELECT min((n.retry_delay>0 OR n.retry_backoff)::int) "
                     "FILTER (WHERE n.retry_limit>0) FROM (SELECT j.* FROM "
                     "{j} AND j.state<'active' LIMIT 10) n",
        .why_backs_off = {"a job that waits has retryLimit and neither "
                          "retryDelay nor retryBackoff",
            "the jobs that wait have a retryDelay or retryBackoff"},
        .id = "j.id",
        .since = "j.start_after",
        .attempts = "j.retry_count",
        .error = "j.output::text",
        .payload = "j.data::text",
        .known = "SELECT 1 FROM {s}.queue WHERE name=$1::text",
        .closed = true,
        .queues = "SELECT name FROM {s}.queue LIMIT 5000",
        .consumers = "SELECT a.application_name||' '||a.pid,"
                     "coalesce(host(a.client_addr)||':'||a.client_port,''),"
                     "'',false FROM pg_stat_activity a WHERE "
                     "a.datname=current_database() AND a.pid<>"
                     "pg_backend_pid() AND a.backend_type='client backend' "
                     "AND a.application_name NOT LIKE 'reeve%' AND "
                     "$1::text IS NOT NULL LIMIT 256",
        .roll = true,
        .why_consumers = "sessions of this database may work on it: pg-boss "
                         "doesn't say on which queues",
        .submit = "INSERT INTO {s}.job(id,name,data,retry_limit,keep_until) "
                  "VALUES($3::uuid,$1::text,$2::jsonb,0,now()+interval "
                  "'10 min') RETURNING id::text",
        .expects = "JSON",
        .follow = "SELECT CASE WHEN j.state='completed' THEN 'done' WHEN "
                  "j.state='active' OR j.state='retry' THEN 'taken' WHEN "
                  "j.state='created' THEN 'visible' ELSE 'dead' END,NULL,"
                  "j.retry_count,'state '||j.state FROM {j} AND "
                  "j.id=$2::uuid",
        .remove = "DELETE FROM {j} AND j.id=$2::uuid AND j.state<>'active'",
        .requeue = "UPDATE {s}.job j SET state='retry',retry_count=0,"
                   "start_after=now(),started_on=NULL,completed_on=NULL "
                   "WHERE j.name=$1::text AND j.state='failed' AND "
                   "j.id=ANY($2::text[]::uuid[]) RETURNING j.id::text",
        .reclaim = "UPDATE {s}.job j SET state='retry',retry_count=0,"
                   "start_after=now(),started_on=NULL WHERE "
                   "j.name=$1::text AND j.state='active' AND "
                   "j.id=ANY($2::text[]::uuid[]) AND " BOSS_OVER
                   " RETURNING j.id::text",
    },
    {
        .kind = "graphile",
        .name = "Graphile Worker",
        .schema_key = "schema",
        .schema = "graphile_worker",
        .anchor = "_private_jobs",
        .versions = "Graphile Worker 0.16",
        .jobs = "{s}._private_jobs j WHERE j.task_id=(SELECT t.id FROM "
                "{s}._private_tasks t WHERE t.identifier=$1::text)",
        .rows = {[PG_WAITING] = "FROM {j} AND j.is_available=true AND "
                                "j.run_at<=now()",
            [PG_ACTIVE] = "FROM {j} AND j.locked_at IS NOT NULL",
            [PG_DELAYED] = "FROM {j} AND j.is_available=true AND "
                           "j.run_at>now()",
            [PG_FAILED] = "FROM {j} AND j.locked_at IS NULL AND "
                          "j.attempts>=j.max_attempts",
            [PG_LEASE_EXPIRED] = "FROM {j} AND j.locked_at<now()-interval "
                                 "'4 h'"},
        .live = "FROM {j} AND (j.is_available=true OR j.locked_at IS NOT "
                "NULL)",
        .id = "j.id",
        .since = "j.run_at",
        .attempts = "j.attempts",
        .error = "j.last_error",
        .owner = "j.locked_by",
        .payload = "j.payload::text",
        .known = "SELECT 1 FROM {s}._private_tasks WHERE "
                 "identifier=$1::text",
        .closed = true,
        .queues = "SELECT identifier FROM {s}._private_tasks LIMIT 5000",
        /* who may not see others' queries sees only that they are there */
        .consumers = "SELECT 'session '||a.pid,coalesce(host(a.client_addr)"
                     "||':'||a.client_port,''),'',a.query LIKE 'LISTEN "
                     "\"jobs:insert\"%' FROM pg_stat_activity a WHERE "
                     "a.datname=current_database() AND a.pid<>"
                     "pg_backend_pid() AND a.backend_type='client backend' "
                     "AND (a.query LIKE 'LISTEN \"jobs:insert\"%' OR a.query "
                     "IS NULL OR a.query='<insufficient privilege>') AND "
                     "$1::text IS NOT NULL LIMIT 256",
        .roll = true,
        .why_consumers = "what the other sessions listen to is shown only "
                         "to pg_monitor",
        .submit = "SELECT (j).id::text FROM (SELECT {s}.add_job($1::text,"
                  "$2::json,max_attempts=>1,job_key=>'reeve-canary-'||"
                  "$3::text) AS j) s",
        .expects = "JSON",
        .follow = "SELECT CASE WHEN j.locked_at IS NOT NULL THEN 'taken' "
                  "WHEN j.attempts>=j.max_attempts THEN 'dead' WHEN "
                  "j.attempts>0 THEN 'taken' ELSE 'visible' END,j.locked_by,"
                  "j.attempts,coalesce(j.last_error,'attempts '||j.attempts)"
                  " FROM {j} AND j.id=$2::bigint",
        .gone_is_done = true,
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND j.locked_at IS "
                  "NULL",
        .requeue = "UPDATE {s}._private_jobs AS j SET attempts=0,run_at="
                   "now(),last_error=NULL,updated_at=now() FROM "
                   "{s}._private_tasks t WHERE t.id=j.task_id AND "
                   "t.identifier=$1::text AND j.locked_at IS NULL AND "
                   "j.attempts>=j.max_attempts AND "
                   "j.id=ANY($2::text[]::bigint[]) RETURNING j.id::text",
        .reclaim = "WITH over AS (SELECT j.id,j.locked_by FROM {j} AND "
                   "j.locked_at<now()-interval '4 h' AND "
                   "j.id=ANY($2::text[]::bigint[]) FOR UPDATE), freed AS ("
                   "UPDATE {s}._private_job_queues u SET locked_at=NULL,"
                   "locked_by=NULL FROM over WHERE u.locked_by="
                   "over.locked_by) UPDATE {s}._private_jobs AS k SET "
                   "locked_at=NULL,locked_by=NULL,attempts=0,run_at=now(),"
                   "updated_at=now() FROM over WHERE k.id=over.id RETURNING "
                   "k.id::text",
    },
    {
        .kind = "river",
        .name = "River",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "river_job",
        .versions = "River's migrations 4 to 7",
        .jobs = "{s}.river_job j WHERE j.queue=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.state='available'",
            [PG_ACTIVE] = "FROM {j} AND j.state='running'",
            [PG_DELAYED] = "FROM {j} AND j.state IN ('scheduled',"
                           "'retryable')",
            [PG_FAILED] = "FROM {j} AND j.state='discarded'",
            [PG_COMPLETED] = "FROM {j} AND j.state='completed'",
            [PG_LEASE_EXPIRED] = "FROM {j} AND j.state='running' AND "
                                 "j.attempted_at<now()-interval '1 h'"},
        .live = "FROM {j} AND j.state IN ('available','running',"
                "'retryable')",
        .oldest = OLDEST_BY_PRIORITY(
            "river_job", "j.state='available'", "1", "4", "j.scheduled_at"),
        .paused = "SELECT (paused_at IS NOT NULL)::int FROM "
                  "{s}.river_queue WHERE name=$1::text",
        .id = "j.id",
        .since = "j.scheduled_at",
        .attempts = "j.attempt",
        .error = "j.errors[array_upper(j.errors,1)]->>'error'",
        .owner = "j.attempted_by[array_upper(j.attempted_by,1)]",
        .payload = "j.args::text",
        .known = "SELECT 1 FROM {s}.river_queue WHERE name=$1::text",
        .queues = "SELECT name FROM {s}.river_queue LIMIT 5000",
        /* a client says every 10 minutes that it works on a queue */
        .consumers = "SELECT 'a client, '||to_char(updated_at AT TIME ZONE "
                     "'utc','HH24:MI')||' UTC','',name,false FROM "
                     "{s}.river_queue WHERE name=$1::text AND "
                     "updated_at>now()-interval '15 min'",
        .roll = true,
        .why_consumers = "River's clients report every 10 minutes, and not "
                         "how many they are",
        .submit = "INSERT INTO {s}.river_job(kind,queue,args,max_attempts) "
                  "SELECT p->>'kind',$1::text,coalesce(p->'args','{}'),1 "
                  "FROM (SELECT $2::jsonb) s(p) WHERE $3::text IS NOT NULL "
                  "RETURNING id::text",
        .expects = "a JSON object with 'kind' and 'args'",
        .follow = "SELECT CASE WHEN j.state='completed' THEN 'done' WHEN "
                  "j.state IN ('running','retryable') THEN 'taken' WHEN "
                  "j.state IN ('discarded','cancelled') THEN 'dead' ELSE "
                  "'visible' END,j.attempted_by[array_upper(j.attempted_by,"
                  "1)],j.attempt,'state '||j.state FROM {j} AND "
                  "j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND "
                  "j.state<>'running'",
        .requeue = "UPDATE {s}.river_job j SET state='available',attempt=0,"
                   "finalized_at=NULL,scheduled_at=now() WHERE "
                   "j.queue=$1::text AND j.state='discarded' AND "
                   "j.id=ANY($2::text[]::bigint[]) RETURNING j.id::text",
        .reclaim = "UPDATE {s}.river_job j SET state='available',attempt=0,"
                   "scheduled_at=now() WHERE j.queue=$1::text AND "
                   "j.state='running' AND j.attempted_at<now()-interval "
                   "'1 h' AND j.id=ANY($2::text[]::bigint[]) RETURNING "
                   "j.id::text",
    },
    {
        .kind = "oban",
        .name = "Oban",
        .schema_key = "prefix",
        .schema = "public",
        .anchor = "oban_jobs",
        .versions = "Oban's migrations 11 to 14",
        .jobs = "{s}.oban_jobs j WHERE j.queue=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.state='available'",
            [PG_ACTIVE] = "FROM {j} AND j.state='executing'",
            [PG_DELAYED] = "FROM {j} AND j.state IN ('scheduled',"
                           "'retryable')",
            [PG_FAILED] = "FROM {j} AND j.state='discarded'",
            [PG_COMPLETED] = "FROM {j} AND j.state='completed'",
            [PG_LEASE_EXPIRED] = "FROM {j} AND j.state='executing' AND "
                                 "j.attempted_at<" UTC "-interval '1 h'"},
        .live = "FROM {j} AND j.state IN ('available','executing',"
                "'retryable')",
        .oldest = OLDEST_BY_PRIORITY("oban_jobs", "j.state='available'", "0",
            "9", MOMENT("j.scheduled_at")),
        .id = "j.id",
        .since = MOMENT("j.scheduled_at"),
        .attempts = "j.attempt",
        .error = "j.errors[array_upper(j.errors,1)]->>'error'",
        .owner = "j.attempted_by[1]",
        .payload = "j.args::text",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = NEWEST("queue", "oban_jobs"),
        .consumers = "SELECT node||' (leads '||name||')','','',false FROM "
                     "{s}.oban_peers WHERE expires_at>" UTC " AND $1::text "
                     "IS NOT NULL LIMIT 256",
        .why_consumers = "Oban keeps in the database only which node leads",
        .submit = "INSERT INTO {s}.oban_jobs(worker,queue,args,"
                  "max_attempts) SELECT p->>'worker',$1::text,"
                  "coalesce(p->'args','{}'),1 FROM (SELECT $2::jsonb) s(p) "
                  "WHERE $3::text IS NOT NULL RETURNING id::text",
        .expects = "a JSON object with 'worker' and 'args'",
        .follow = "SELECT CASE WHEN j.state='completed' THEN 'done' WHEN "
                  "j.state IN ('executing','retryable') THEN 'taken' WHEN "
                  "j.state IN ('discarded','cancelled') THEN 'dead' ELSE "
                  "'visible' END,j.attempted_by[1],j.attempt,'state '||"
                  "j.state FROM {j} AND j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND "
                  "j.state<>'executing'",
        .requeue = "UPDATE {s}.oban_jobs j SET state='available',attempt=0,"
                   "discarded_at=NULL,scheduled_at=" UTC " WHERE "
                   "j.queue=$1::text AND j.state='discarded' AND "
                   "j.id=ANY($2::text[]::bigint[]) RETURNING j.id::text",
        .reclaim = "UPDATE {s}.oban_jobs j SET state='available',attempt=0,"
                   "scheduled_at=" UTC " WHERE j.queue=$1::text AND "
                   "j.state='executing' AND j.attempted_at<" UTC
                   "-interval '1 h' AND j.id=ANY($2::text[]::bigint[]) "
                   "RETURNING j.id::text",
    },
    {
        .kind = "solidqueue",
        .name = "Solid Queue",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "solid_queue_ready_executions",
        .versions = "Solid Queue 1",
        .jobs = "{s}.solid_queue_jobs j WHERE j.queue_name=$1::text",
        .rows = {[PG_WAITING] = SOLID("ready") "WHERE e.queue_name="
                                               "$1::text",
            [PG_ACTIVE] = SOLID("claimed") "WHERE j.queue_name=$1::text",
            /* blocked: until another of the same key ends */
            [PG_DELAYED] = "FROM (SELECT job_id,queue_name,created_at FROM "
                           "{s}.solid_queue_scheduled_executions UNION ALL "
                           "SELECT job_id,queue_name,created_at FROM "
                           "{s}.solid_queue_blocked_executions) e LEFT JOIN "
                           "{s}.solid_queue_jobs j ON j.id=e.job_id WHERE "
                           "e.queue_name=$1::text",
            [PG_FAILED] = SOLID("failed") "WHERE j.queue_name=$1::text",
            [PG_COMPLETED] = "FROM {j} AND j.finished_at IS NOT NULL",
            [PG_LEASE_EXPIRED] = SOLID("claimed") "WHERE j.queue_name="
                                                  "$1::text AND " SOLID_GONE},
        .paused = "SELECT count(*) FROM {s}.solid_queue_pauses WHERE "
                  "queue_name=$1::text",
        .id = "e.job_id",
        .since = MOMENT("e.created_at"),
        .error = "to_jsonb(e)->>'error'",
        .owner = "to_jsonb(e)->>'process_id'",
        .payload = "j.arguments",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = NEWEST("queue_name", "solid_queue_jobs"),
        /* "*", "mail*" and lists are what it may read */
        .consumers = "SELECT coalesce(p.hostname,'')||':'||p.pid,'',"
                     "q.list,coalesce($1::text LIKE ANY(string_to_array("
                     "replace(replace(q.list,' ',''),'*','%'),',')),false) "
                     "FROM {s}.solid_queue_processes p, LATERAL (SELECT "
                     "p.metadata::jsonb->>'queues') q(list) WHERE "
                     "p.kind='Worker' AND p.last_heartbeat_at>" UTC
                     "-interval '5 min' AND (q.list IS NULL OR $1::text LIKE "
                     "ANY(string_to_array(replace(replace(q.list,' ',''),"
                     "'*','%'),','))) LIMIT 256",
        .roll = true,
        .why_consumers = "the workers don't say which queues they read",
        .submit = "WITH j AS (INSERT INTO {s}.solid_queue_jobs(queue_name,"
                  "class_name,arguments,priority,active_job_id,scheduled_at,"
                  "created_at,updated_at) SELECT $1::text,p->>'class_name',"
                  "(p->'arguments')::text,0,$3::text," UTC "," UTC "," UTC
                  " FROM (SELECT $2::jsonb) s(p) RETURNING id) INSERT INTO "
                  "{s}.solid_queue_ready_executions(job_id,queue_name,"
                  "priority,created_at) SELECT id,$1::text,0," UTC
                  " FROM j RETURNING job_id::text",
        .expects = "a JSON object with 'class_name' and 'arguments' (Active "
                   "Job's serialized job)",
        .follow = "SELECT CASE WHEN j.finished_at IS NOT NULL THEN 'done' "
                  "WHEN EXISTS (SELECT 1 FROM "
                  "{s}.solid_queue_failed_executions e WHERE e.job_id=j.id) "
                  "THEN 'dead' WHEN EXISTS (SELECT 1 FROM "
                  "{s}.solid_queue_claimed_executions e WHERE "
                  "e.job_id=j.id) THEN 'taken' ELSE 'visible' END,NULL,NULL,"
                  "j.class_name FROM {j} AND j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND NOT EXISTS ("
                  "SELECT 1 FROM {s}.solid_queue_claimed_executions e WHERE "
                  "e.job_id=j.id)",
        .requeue = "WITH f AS (DELETE FROM {s}.solid_queue_failed_executions"
                   " e USING {s}.solid_queue_jobs j WHERE j.id=e.job_id AND "
                   "j.queue_name=$1::text AND "
                   "e.job_id=ANY($2::text[]::bigint[]) RETURNING e.job_id,"
                   "j.priority) INSERT INTO "
                   "{s}.solid_queue_ready_executions(job_id,queue_name,"
                   "priority,created_at) SELECT job_id,$1::text,priority," UTC
                   " FROM f RETURNING job_id::text",
        .reclaim = "WITH f AS (DELETE FROM {s}.solid_queue_claimed_"
                   "executions e USING {s}.solid_queue_jobs j WHERE "
                   "j.id=e.job_id AND j.queue_name=$1::text AND "
                   "e.job_id=ANY($2::text[]::bigint[]) AND " SOLID_GONE
                   " RETURNING e.job_id,j.priority) INSERT INTO "
                   "{s}.solid_queue_ready_executions(job_id,queue_name,"
                   "priority,created_at) SELECT job_id,$1::text,priority," UTC
                   " FROM f RETURNING job_id::text",
    },
    {
        .kind = "pgmq",
        .name = "PGMQ",
        .schema_key = "schema",
        .schema = "pgmq",
        .anchor = "meta",
        .versions = "PGMQ 1",
        .jobs = "{q} j WHERE $1::text IS NOT NULL",
        .rows = {[PG_WAITING] = "FROM {j} AND j.vt<=now()",
            [PG_ACTIVE] = "FROM {j} AND j.vt>now() AND j.read_ct>0",
            [PG_DELAYED] = "FROM {j} AND j.vt>now() AND j.read_ct=0",
            /* what a reader kept when it was done with it */
            [PG_COMPLETED] = "FROM {a} j WHERE $1::text IS NOT NULL"},
        .live = "FROM {j}",
        /* in the order of their numbers they came */
        .oldest = "SELECT j.enqueued_at FROM {j} AND j.vt<=now() ORDER BY "
                  "j.msg_id LIMIT 1",
        .id = "j.msg_id",
        .since = "j.enqueued_at",
        .attempts = "j.read_ct",
        .payload = "j.message::text",
        .known = "SELECT 1 FROM {s}.meta WHERE lower(queue_name)="
                 "lower($1::text)",
        .closed = true,
        .queues = "SELECT queue_name FROM {s}.meta LIMIT 5000",
        .why_consumers = "PGMQ knows no consumers, only reads",
        .submit = "INSERT INTO {q}(vt,message) SELECT now(),$2::jsonb WHERE "
                  "$1::text IS NOT NULL AND $3::text IS NOT NULL RETURNING "
                  "msg_id::text",
        .expects = "JSON",
        .follow = "SELECT CASE WHEN j.read_ct>0 THEN 'taken' ELSE 'visible' "
                  "END,NULL,j.read_ct,'read '||j.read_ct||' times' FROM {j} "
                  "AND j.msg_id=$2::bigint UNION ALL SELECT 'gone',NULL,"
                  "j.read_ct,'archived' FROM {a} j WHERE "
                  "j.msg_id=$2::bigint LIMIT 1",
        .remove = "DELETE FROM {j} AND j.msg_id=$2::bigint AND NOT "
                  "(j.vt>now() AND j.read_ct>0)",
    },
    {
        .kind = "que",
        .name = "Que",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "que_lockers",
        .versions = "Que's migrations 5 to 7",
        .jobs = "{s}.que_jobs j WHERE j.queue=$1::text",
        .rows = {[PG_WAITING] = QUE_LIVE " AND j.run_at<=now() AND "
                                         "j.id<>ALL(" QUE_LOCKED ")",
            [PG_ACTIVE] = QUE_LIVE " AND j.id=ANY(" QUE_LOCKED ")",
            [PG_DELAYED] = QUE_LIVE " AND j.run_at>now()",
            [PG_FAILED] = "FROM {j} AND j.expired_at IS NOT NULL",
            [PG_COMPLETED] = "FROM {j} AND j.finished_at IS NOT NULL"},
        .live = QUE_LIVE,
        .id = "j.id",
        .since = "j.run_at",
        .attempts = "j.error_count",
        .error = "j.last_error_message",
        .payload = "j.args::text",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = NEWEST("queue", "que_jobs"),
        .consumers = "SELECT l.ruby_hostname||':'||l.ruby_pid,coalesce("
                     "host(a.client_addr)||':'||a.client_port,''),"
                     "array_to_string(l.queues,','),true FROM "
                     "{s}.que_lockers l JOIN pg_stat_activity a ON "
                     "a.pid=l.pid WHERE $1::text=ANY(l.queues) LIMIT 256",
        .roll = true,
        .why_consumers = "",
        .submit = "INSERT INTO {s}.que_jobs(job_class,queue,args,"
                  "job_schema_version) SELECT p->>'job_class',$1::text,"
                  "coalesce(p->'args','[]'),coalesce((p->>"
                  "'job_schema_version')::int,2) FROM (SELECT $2::jsonb) "
                  "s(p) WHERE $3::text IS NOT NULL RETURNING id::text",
        .expects = "a JSON object with 'job_class' and 'args'",
        .follow = "SELECT CASE WHEN j.finished_at IS NOT NULL THEN 'done' "
                  "WHEN j.expired_at IS NOT NULL THEN 'dead' WHEN "
                  "j.error_count>0 OR j.id=ANY(" QUE_LOCKED ") THEN 'taken' "
                  "ELSE 'visible' END,NULL,j.error_count,coalesce("
                  "j.last_error_message,'no error') FROM {j} AND "
                  "j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND "
                  "j.id<>ALL(" QUE_LOCKED ")",
        .requeue = "UPDATE {s}.que_jobs j SET expired_at=NULL,error_count=0,"
                   "run_at=now() WHERE j.queue=$1::text AND j.expired_at IS "
                   "NOT NULL AND j.id=ANY($2::text[]::bigint[]) RETURNING "
                   "j.id::text",
    },
    {
        .kind = "procrastinate",
        .name = "Procrastinate",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "procrastinate_workers",
        .versions = "Procrastinate 3",
        .jobs = "{s}.procrastinate_jobs j WHERE j.queue_name=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.status='todo' AND "
                                "(j.scheduled_at IS NULL OR "
                                "j.scheduled_at<=now())",
            [PG_ACTIVE] = "FROM {j} AND j.status='doing'",
            [PG_DELAYED] = "FROM {j} AND j.status='todo' AND "
                           "j.scheduled_at>now()",
            [PG_FAILED] = "FROM {j} AND j.status='failed'",
            [PG_COMPLETED] = "FROM {j} AND j.status='succeeded'",
            [PG_LEASE_EXPIRED] =
                "FROM {j} AND j.status='doing' AND " PROCRASTINATE_GONE},
        .live = "FROM {j} AND j.status IN ('todo','doing')",
        /* the jobs have no time, the events have */
        .oldest = "SELECT min(e.at) FROM (SELECT j.id FROM {j} AND "
                  "j.status='todo' AND (j.scheduled_at IS NULL OR "
                  "j.scheduled_at<=now()) ORDER BY j.id LIMIT 1) o JOIN "
                  "{s}.procrastinate_events e ON e.job_id=o.id AND "
                  "e.type='deferred'",
        .id = "j.id",
        .since = "(SELECT min(e.at) FROM {s}.procrastinate_events e WHERE "
                 "e.job_id=j.id AND e.type='deferred')",
        .attempts = "j.attempts",
        .owner = "j.worker_id",
        .payload = "j.args::text",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = NEWEST("queue_name", "procrastinate_jobs"),
        .consumers = "SELECT 'worker '||id,'','',false FROM "
                     "{s}.procrastinate_workers WHERE last_heartbeat>"
                     "now()-interval '30 s' AND $1::text IS NOT NULL LIMIT "
                     "256",
        .roll = true,
        .why_consumers = "Procrastinate's workers don't say which queues "
                         "they read",
        .submit = "INSERT INTO {s}.procrastinate_jobs(queue_name,task_name,"
                  "args) SELECT $1::text,p->>'task_name',coalesce(p->'args',"
                  "'{}') FROM (SELECT $2::jsonb) s(p) WHERE $3::text IS NOT "
                  "NULL RETURNING id::text",
        .expects = "a JSON object with 'task_name' and 'args'",
        .follow = "SELECT CASE WHEN j.status='succeeded' THEN 'done' WHEN "
                  "j.status='doing' OR j.status='todo' AND j.attempts>0 "
                  "THEN 'taken' WHEN j.status='todo' THEN 'visible' ELSE "
                  "'dead' END,j.worker_id,j.attempts,'status '||j.status "
                  "FROM {j} AND j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND "
                  "j.status<>'doing'",
        .requeue = "UPDATE {s}.procrastinate_jobs j SET status='todo',"
                   "attempts=0,scheduled_at=NULL,worker_id=NULL WHERE "
                   "j.queue_name=$1::text AND j.status='failed' AND "
                   "j.id=ANY($2::text[]::bigint[]) RETURNING j.id::text",
        .reclaim = "UPDATE {s}.procrastinate_jobs j SET status='todo',"
                   "attempts=0,scheduled_at=NULL,worker_id=NULL WHERE "
                   "j.queue_name=$1::text AND j.status='doing' AND "
                   "j.id=ANY($2::text[]::bigint[]) AND " PROCRASTINATE_GONE
                   " RETURNING j.id::text",
    },
    {
        .kind = "goodjob",
        .name = "GoodJob",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "good_jobs",
        .versions = "GoodJob 4",
        .jobs = "{s}.good_jobs j WHERE j.queue_name=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.finished_at IS NULL AND "
                                "j.performed_at IS NULL AND coalesce("
                                "j.scheduled_at,j.created_at)<=" UTC,
            [PG_ACTIVE] = "FROM {j} AND j.finished_at IS NULL AND "
                          "j.performed_at IS NOT NULL",
            [PG_DELAYED] = "FROM {j} AND j.finished_at IS NULL AND "
                           "j.performed_at IS NULL AND coalesce("
                           "j.scheduled_at,j.created_at)>" UTC,
            [PG_FAILED] = "FROM {j} AND j.finished_at IS NOT NULL AND "
                          "j.error IS NOT NULL",
            [PG_COMPLETED] = "FROM {j} AND j.finished_at IS NOT NULL AND "
                             "j.error IS NULL",
            [PG_LEASE_EXPIRED] =
                "FROM {j} AND j.finished_at IS NULL AND "
                "j.performed_at IS NOT NULL AND " GOODJOB_GONE},
        .live = "FROM {j} AND j.finished_at IS NULL",
        .id = "j.id",
        .since = MOMENT("coalesce(j.scheduled_at,j.created_at)"),
        .attempts = "j.executions_count",
        .error = "j.error",
        .owner = "j.locked_by_id",
        .payload = "j.serialized_params::text",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = "SELECT DISTINCT n FROM (SELECT queue_name AS n FROM "
                  "{s}.good_jobs ORDER BY created_at DESC LIMIT 5000) s "
                  "LIMIT 500",
        .consumers = "SELECT coalesce(state->>'hostname','')||':'||coalesce("
                     "state->>'pid',''),'','',false FROM "
                     "{s}.good_job_processes WHERE updated_at>" UTC
                     "-interval '5 min' AND $1::text IS NOT NULL LIMIT 256",
        .roll = true,
        .why_consumers = "the processes don't say which queues they read",
        .submit = "INSERT INTO {s}.good_jobs(queue_name,active_job_id,"
                  "job_class,serialized_params,scheduled_at,created_at,"
                  "updated_at,priority) SELECT $1::text,$3::uuid,p->>"
                  "'job_class',p," UTC "," UTC "," UTC ",0 FROM (SELECT "
                  "$2::jsonb) s(p) RETURNING id::text",
        .expects = "Active Job's serialized job, a JSON object with "
                   "'job_class'",
        .follow = "SELECT CASE WHEN j.finished_at IS NOT NULL AND j.error IS "
                  "NULL THEN 'done' WHEN j.finished_at IS NOT NULL THEN "
                  "'dead' WHEN j.performed_at IS NOT NULL OR j.error IS NOT "
                  "NULL THEN 'taken' ELSE 'visible' END,j.locked_by_id,"
                  "j.executions_count,coalesce(j.error,'no error') FROM {j} "
                  "AND j.id=$2::uuid",
        .remove = "DELETE FROM {j} AND j.id=$2::uuid AND (j.performed_at IS "
                  "NULL OR j.finished_at IS NOT NULL)",
        /* as Job#retry_job: the same row; Active Job counts within its
         * parameters */
        .requeue = "UPDATE {s}.good_jobs j SET finished_at=NULL,"
                   "performed_at=NULL,error=NULL,error_event=NULL,"
                   "executions_count=0,locked_by_id=NULL,locked_at=NULL,"
                   "scheduled_at=" UTC ",updated_at=" UTC
                   ",serialized_params=j.serialized_params||"
                   "'{\"executions\":0,\"exception_executions\":{}}'::jsonb "
                   "WHERE j.queue_name=$1::text AND j.finished_at IS NOT NULL "
                   "AND j.error IS NOT NULL AND "
                   "j.id=ANY($2::text[]::uuid[]) RETURNING j.id::text",
        /* as Process.cleanup, but that the job isn't told that it was
         * interrupted */
        .reclaim =
            "UPDATE {s}.good_jobs j SET performed_at=NULL,"
            "locked_by_id=NULL,locked_at=NULL,lock_type=NULL,"
            "updated_at=" UTC " WHERE j.queue_name=$1::text AND "
            "j.finished_at IS NULL AND j.performed_at IS NOT NULL AND " GOODJOB_GONE
            " AND j.id=ANY($2::text[]::uuid[]) "
            "RETURNING j.id::text",
    },
    {
        .kind = "delayedjob",
        .name = "Delayed Job",
        .schema_key = "schema",
        .schema = "public",
        .anchor = "delayed_jobs",
        .versions = "Delayed Job 4",
        .jobs = "{s}.delayed_jobs j WHERE j.queue=$1::text",
        .rows = {[PG_WAITING] = "FROM {j} AND j.failed_at IS NULL AND "
                                "j.locked_at IS NULL AND j.run_at<=" UTC,
            [PG_ACTIVE] = "FROM {j} AND j.failed_at IS NULL AND j.locked_at "
                          "IS NOT NULL",
            [PG_DELAYED] = "FROM {j} AND j.failed_at IS NULL AND j.locked_at "
                           "IS NULL AND j.run_at>" UTC,
            [PG_FAILED] = "FROM {j} AND j.failed_at IS NOT NULL",
            [PG_LEASE_EXPIRED] = "FROM {j} AND j.failed_at IS NULL AND "
                                 "j.locked_at<" UTC "-interval '4 h'"},
        .live = "FROM {j} AND j.failed_at IS NULL",
        .id = "j.id",
        .since = MOMENT("j.run_at"),
        .attempts = "j.attempts",
        .error = "j.last_error",
        .owner = "j.locked_by",
        .payload = "j.handler",
        .known = "SELECT 1 FROM {j} LIMIT 1",
        .queues = NEWEST("queue", "delayed_jobs"),
        /* "host:name pid:7", only while it has a job in hand */
        .consumers = "SELECT DISTINCT j.locked_by,'','',true FROM {j} AND "
                     "j.failed_at IS NULL AND j.locked_at>" UTC
                     "-interval '4 h' LIMIT 256",
        .why_consumers = "Delayed Job knows its workers only while they have "
                         "a job in hand",
        .submit = "INSERT INTO {s}.delayed_jobs(queue,handler,priority,"
                  "attempts,run_at,created_at,updated_at) SELECT $1::text,"
                  "$2::text,0,0," UTC "," UTC "," UTC " WHERE $3::text IS "
                  "NOT NULL RETURNING id::text",
        .expects = "YAML of the object that is to perform",
        .follow = "SELECT CASE WHEN j.failed_at IS NOT NULL THEN 'dead' WHEN "
                  "j.locked_at IS NOT NULL OR j.attempts>0 THEN 'taken' ELSE "
                  "'visible' END,j.locked_by,j.attempts,coalesce("
                  "j.last_error,'no error') FROM {j} AND j.id=$2::bigint",
        .remove = "DELETE FROM {j} AND j.id=$2::bigint AND j.locked_at IS "
                  "NULL",
        .requeue = "UPDATE {s}.delayed_jobs j SET failed_at=NULL,attempts=0,"
                   "locked_at=NULL,locked_by=NULL,run_at=" UTC " WHERE "
                   "j.queue=$1::text AND j.failed_at IS NOT NULL AND "
                   "j.id=ANY($2::text[]::bigint[]) RETURNING j.id::text",
        .reclaim = "UPDATE {s}.delayed_jobs j SET attempts=0,locked_at=NULL,"
                   "locked_by=NULL,run_at=" UTC " WHERE j.queue=$1::text "
                   "AND j.failed_at IS NULL AND j.locked_at<" UTC
                   "-interval '4 h' AND j.id=ANY($2::text[]::bigint[]) "
                   "RETURNING j.id::text",
    },
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */
const size_t pg_libraries_count = ARRAY_LEN(pg_libraries);
