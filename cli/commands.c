/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "cli/cli.h"

/*
 * The table of commands, in the order of `reeve help`; the same rows make the
 * help and the manual's synopsis. `run` is the program `reeve` itself.
 */

static const struct cli_option gate_options[] = {
    {"rollout", "DURATION",
        "how long all workers may take to become ready (2m)"},
    {"settle", "DURATION",
        "how long to watch for restarts after the canaries (2s)"},
    {0},
};

static const struct cli_option demo_options[] = {
    {"keep", NULL, "leave the directory, to play with"},
    {0},
};

/* Of a running supervisor. */
static const struct cli_option running_options[] = {
    {"name", "NAME", "which supervisor, where several run"},
    {0},
};

static const struct cli_option alert_options[] = {
    {"name", "NAME", "which supervisor, where several run"},
    {"for", "DURATION", "silence: for how long"},
    {"reason", "TEXT", "silence: why, for those who see it"},
    {0},
};

static const struct cli_option status_options[] = {
    {"name", "NAME", "which supervisor, where several run"},
    {"live", NULL, "say nothing; exit 0 if the init's loop turns"},
    {0},
};

static const struct cli_option logs_options[] = {
    {"name", "NAME", "which supervisor, where several run"},
    {"tail", "N", "at most so many lines of each instance (100)"},
    {"since", "DURATION", "no lines that are older"},
    {"previous", NULL, "of the process before the last one"},
    {"follow", NULL, "go on with what comes"},
    {0},
};

static const struct cli_option compile_options[] = {
    {"with-secrets", NULL, "write the values of secrets into the plan"},
    {"with-env", NULL,
        "this environment is the base of every worker's, as under `reeve "
        "run`; without it only PATH is set"},
    {0},
};

static const struct cli_option queue_options[] = {
    {"part", "PART",
        "peek: waiting, active, delayed, dead or expired (waiting)"},
    {"limit", "N",
        "peek, dead: at most so many jobs (20); requeue, reclaim: (100)"},
    {"id", "ID", "requeue, reclaim: only this job; repeatable"},
    {"yes", NULL, "requeue, reclaim: do it; without, only say what would be"},
    {"force", NULL,
        "requeue, reclaim: also what came back, or might be dropped as "
        "a duplicate"},
    {"log", "FILE",
        "requeue, reclaim: the log of what was moved "
        "($XDG_STATE_HOME/reeve/moves.jsonl)"},
    {"interval", "DURATION", "watch: from look to look (1s)"},
    {"for", "DURATION", "watch: so long (until Ctrl-C)"},
    {"until-drained", NULL, "watch: until nothing waits or is in hand"},
    {"name", "NAME", "history: which supervisor, where several run"},
    {"since", "DURATION", "history: from when on (1h)"},
    {0},
};
static const struct cli_option events_options[] = {
    {"name", "NAME", "which supervisor, where several run"},
    {"since", "DURATION", "not older than this (all that is kept)"},
    {"tail", "N", "at most so many, the newest (100)"},
    {"follow", NULL, "go on with what comes"},
    {0},
};

static const struct cli_option schema_options[] = {
    {"markdown", NULL, "the same table as docs/manifest.md"},
    {0},
};

static const struct cli_option worker_options[] = {
    {"queue", "NAME|URL",
        "a queue of the manifest, or the URL of one (docs/queues.md)"},
    {"concurrency", "N", "jobs at once; default 1, at most 64"},
    {"max-attempts", "N", "then it is a dead letter; default 5"},
    {"lease", "DURATION",
        "of a job, extended while it runs; default 30s, at least 1s"},
    {"backoff", "DURATION", "before the second attempt; default 1s"},
    {"backoff-cap", "DURATION", "it doubles up to this; default 1m"},
    {"drain", "DURATION",
        "for running jobs after a TERM; default 25s, then they are given "
        "back"},
    {"job-timeout", "DURATION", "a job that takes longer has failed"},
    {"health", "ADDR:PORT", "serve GET /health there"},
    {0},
};

const struct cli_command cli_commands[] = {
    {
        .name = "lint",
        .arguments = "[FILE…]",
        .summary = "offline: descriptions of one system held against each "
                   "other",
        .examples =
            "  reeve lint                       # reeve.yaml alone\n"
            "  reeve lint reeve.yaml deployment.yaml docker-compose.yml\n",
        .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_VERDICT,
        .args_max = -1,
        .run = cmd_lint,
    },
    {
        .name = "check",
        .arguments = "",
        .summary = "everything that can be verified before a job is sent",
        .examples = "  reeve check\n"
                    "  reeve check -f prod.yaml --output junit=check.xml "
                    "--output text\n",
        .uses =
            CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_VERDICT | CLI_TARGET,
        .run = cmd_check,
    },
    {
        .name = "smoke",
        .arguments = "[NAME…]",
        .summary = "send a canary job and prove that it travels the pipeline",
        .examples = "  reeve smoke\n"
                    "  reeve smoke 'a document goes through' --verbose\n",
        .uses =
            CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_VERDICT | CLI_TARGET,
        .args_max = -1,
        .run = cmd_smoke,
    },
    {
        .name = "gate",
        .arguments = "",
        .summary = "lint, check, wait for the rollout, smoke, settle: for CI",
        .examples =
            "  reeve gate --timeout 5m --output junit=gate.xml --output text\n"
            "  reeve gate --status /run/reeve/fileprocess/operator.sock "
            "--secret db=env:DB_\n",
        .uses =
            CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_VERDICT | CLI_TARGET,
        .options = gate_options,
        .run = cmd_gate,
    },
    {
        .name = "diagnose",
        .arguments = "[URL…]",
        .summary = "why is the queue not draining?",
        .examples =
            "  reeve diagnose\n"
            "  reeve diagnose 'redis://cache:6379/0?list=fileprocess:jobs'\n",
        .uses =
            CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_VERDICT | CLI_TARGET,
        .args_max = -1,
        .run = cmd_diagnose,
    },
    {
        .name = "status",
        .arguments = "",
        .summary = "workers, queues, drift and alerts of a running supervisor",
        .examples = "  reeve status\n"
                    "  reeve status --output json\n"
                    "  reeve status --live       # an exec liveness probe\n",
        .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT,
        .options = status_options,
        .run = cmd_status,
    },
    {
        .name = "top",
        .arguments = "",
        .summary = "the status, live, with keys to restart, stop and scale",
        .examples = "  reeve top\n"
                    "  reeve top --name shop     # where several run\n",
        .uses = CLI_MANIFEST,
        .options = running_options,
        .run = cmd_top,
    },
    {
        .name = "diff",
        .arguments = "",
        .summary = "what runs against what is declared, by worker and key",
        .examples = "  reeve diff && echo nothing drifts\n",
        .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT,
        .options = running_options,
        .run = cmd_diff,
    },
    {
        .name = "plan",
        .arguments = "",
        .summary = "what would be restarted, started and stopped, and why; "
                   "nothing is done",
        .examples = "  reeve plan                # what is under way\n"
                    "  reeve plan -f new.yaml    # before it is deployed\n",
        .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT,
        .options = running_options,
        .run = cmd_plan,
    },
    {
        .name = "restart",
        .arguments = "WORKER[/REPLICA]…",
        .summary = "restart the replicas one after the other, or one of them",
        .examples = "  reeve restart fileprocess\n"
                    "  reeve restart fileprocess/1\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_min = 1,
        .args_max = -1,
        .options = running_options,
        .run = cmd_restart,
    },
    {
        .name = "stop",
        .arguments = "WORKER[/REPLICA]…",
        .summary = "drain and keep stopped until `start`",
        .examples = "  reeve stop fileprocess\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_min = 1,
        .args_max = -1,
        .options = running_options,
        .run = cmd_stop,
    },
    {
        .name = "start",
        .arguments = "WORKER[/REPLICA]…",
        .summary = "start what was stopped",
        .examples = "  reeve start fileprocess\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_min = 1,
        .args_max = -1,
        .options = running_options,
        .run = cmd_start,
    },
    {
        .name = "scale",
        .arguments = "WORKER REPLICAS|auto",
        .summary = "another number of replicas, until the manifest says "
                   "another",
        .examples = "  reeve scale fileprocess 4\n"
                    "  reeve scale fileprocess auto   # as declared, or by "
                    "its queue, again\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_min = 2,
        .args_max = 2,
        .options = running_options,
        .run = cmd_scale,
    },
    {
        .name = "reload",
        .arguments = "",
        .summary = "read the manifest and its secrets again, now",
        .examples = "  reeve reload\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .options = running_options,
        .run = cmd_reload,
    },
    {
        .name = "upgrade",
        .arguments = "[PROGRAM]",
        .summary = "another build of reeve for the running init; the workers "
                   "go on",
        .examples =
            "  reeve upgrade              # what is installed now where it "
            "came from\n"
            "  reeve upgrade /opt/reeve-2/bin/reeve\n",
        .uses = CLI_MANIFEST | CLI_TIMEOUT,
        .args_max = 1,
        .options = running_options,
        .run = cmd_upgrade,
    },
    {
        .name = "compile",
        .arguments = "PLAN",
        .summary = "the manifest as a plan file for `reeve run --plan`",
        .examples = "  reeve compile reeve.plan\n"
                    "  reeve compile --with-secrets reeve.plan   # mode 0600\n",
        .uses = CLI_MANIFEST,
        .args_min = 1,
        .args_max = 1,
        .options = compile_options,
        .run = cmd_compile,
    },
    {
        .name = "logs",
        .arguments = "[WORKER[/REPLICA]]",
        .summary = "the last lines that the workers wrote",
        .examples = "  reeve logs fileprocess --tail 20\n"
                    "  reeve logs fileprocess/0 --previous --since 10m\n"
                    "  reeve logs --follow\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_max = 1,
        .options = logs_options,
        .run = cmd_logs,
    },
    {
        .name = "events",
        .arguments = "[WORKER]",
        .summary = "what happened: starts, ends, drift, actions, alerts, "
                   "orders",
        .examples = "  reeve events --since 1h\n"
                    "  reeve events fileprocess --follow\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_max = 1,
        .options = events_options,
        .run = cmd_events,
    },
    {
        .name = "alert",
        .arguments = "ls | test [RECEIVER] | silence MATCH | silences | "
                     "unsilence ID…",
        .summary = "what is raised and who wasn't reached; a marked test; "
                   "nobody told for a while",
        .examples = "  reeve alert ls\n"
                    "  reeve alert test            # to every receiver; exit 1 "
                    "if one doesn't take it\n"
                    "  reeve alert test on-call -f reeve.yaml\n"
                    "  reeve alert silence 'drift:w:*' --for 2h --reason "
                    "'being moved'\n"
                    "  reeve alert unsilence 3\n",
        .uses = CLI_MANIFEST | CLI_FORMAT | CLI_TIMEOUT,
        .args_min = 1,
        .args_max = -1,
        .options = alert_options,
        .run = cmd_alert,
    },
    {
        .name = "explain",
        .arguments = "[ID|SLUG]",
        .summary = "what a finding means, how it is found, how to fix it",
        .examples = "  reeve explain RV301                    # one of them\n"
                    "  reeve explain component-not-deployed   # by its name\n"
                    "  reeve explain                          # all of them\n",
        .uses = CLI_OUTPUT,
        .args_max = 1,
        .run = cmd_explain,
    },
    {
        .name = "demo",
        .arguments = "",
        .summary = "the whole story on an embedded queue, without any server",
        .examples = "  reeve demo\n"
                    "  reeve demo --keep\n",
        .options = demo_options,
        .run = cmd_demo,
    },
    {
        .name = "schema",
        .arguments = "",
        .summary = "the manifest's JSON Schema, for editors",
        .examples = "  reeve schema > reeve.schema.json\n",
        .options = schema_options,
        .run = cmd_schema,
    },
    {
        .name = "queue",
        .arguments = "ls|peek|dead|watch [NAME|URL…] | requeue|reclaim "
                     "NAME|URL | history NAME",
        .summary = "look into queues, their jobs and dead letters; move jobs "
                   "back",
        .examples =
            "  reeve queue ls                   # every queue of reeve.yaml\n"
            "  reeve queue ls 'redis://h/0?list=jobs' --output json\n"
            "  reeve queue peek jobs --part active --output json\n"
            "  reeve queue dead jobs            # dead letters: ids, errors, "
            "payloads\n"
            "  reeve queue requeue jobs         # what would be moved back; "
            "--yes does it\n"
            "  reeve queue requeue jobs --id 7f3a --yes\n"
            "  reeve queue reclaim jobs --yes   # claims whose lease is over\n"
            "  reeve queue watch jobs --until-drained --for 5m\n"
            "  reeve queue history jobs --since 6h\n",
        .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_TARGET,
        .args_min = 1,
        .args_max = -1,
        .options = queue_options,
        .run = cmd_queue,
    },
    {
        .name = "worker",
        .arguments = "[--queue NAME|URL]",
        .summary = "the reference worker: runs a command for each job",
        .examples =
            "  reeve worker --queue jobs -- /app/process   # payload on "
            "stdin\n"
            "  reeve worker --queue 'sqlite:///q.db?queue=jobs' "
            "--max-attempts 3 -- sh -c cat\n",
        .uses = CLI_MANIFEST | CLI_REST,
        .options = worker_options,
        .run = cmd_worker,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "version and build facts",
        .examples = "  reeve version --verbose\n",
        .uses = CLI_FORMAT,
        .run = cmd_version,
    },
    {
        .name = "demo-job",
        .arguments = "DATABASE",
        .summary = "the demo's work",
        .args_min = 1,
        .args_max = 1,
        .run = cmd_demo_job,
        .hidden = true,
    },
    {
        .name = "operate",
        .arguments = "",
        .summary = "our own child: the operator under `reeve run`",
        .uses = CLI_MANIFEST,
        .run = cmd_operate,
        .hidden = true,
    },
    {
        .name = "deliver",
        .arguments = "",
        .summary = "our own child: takes one alert to one receiver",
        .run = cmd_deliver,
        .hidden = true,
    },
    {
        .name = "read",
        .arguments = "",
        .summary = "our own child: reads the manifest and its secrets",
        .run = cmd_read,
        .hidden = true,
    },
    {
        .name = "inspect",
        .arguments = "",
        .summary = "our own child: looks at the workers' processes",
        .run = cmd_inspect,
        .hidden = true,
    },
    {
        .name = "probe",
        .arguments = "",
        .summary = "our own child: looks at one endpoint",
        .run = cmd_probe,
        .hidden = true,
    },
    {0},
};
