/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 4xx: databases, and queues that live in them. */

/* --- RV401 db-auth ---------------------------------------------------------
 */

/* It let us in when it failed only later, at what we asked for. */
static bool
let_in(const struct observation *seen)
{
	switch (seen->cause) {
	case CAUSE_PERMISSION:
	case CAUSE_NOT_FOUND:
	case CAUSE_MISMATCH:
	case CAUSE_WRONG_TYPE:
		return true;
	case CAUSE_NONE:
	case CAUSE_INTERNAL:
	case CAUSE_DEADLINE:
	case CAUSE_UNRESOLVED:
	case CAUSE_URL:
	case CAUSE_DNS:
	case CAUSE_REFUSED:
	case CAUSE_UNREACHABLE:
	case CAUSE_SILENT:
	case CAUSE_TLS:
	case CAUSE_AUTH:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_UNAVAILABLE:
		return seen->result == RESULT_PASSED;
	}
	UNREACHABLE("a cause that is none");
}

static const char *
login_fix(struct check *check, const struct observation *seen)
{
	if (seen->cause == CAUSE_AUTH)
		return "use the password that the database knows: take it from "
		       "the secret, not from a literal";
	if (seen->cause == CAUSE_WRONG_DATABASE)
		return "correct the database's name in the URL, or create it";
	if (seen->cause == CAUSE_UNAVAILABLE)
		return "it answers but takes nobody: starting up, or out of "
		       "connections";
	return check_text(check, "see what listens at %s", seen->target);
}

static void
judge_login(struct check *check, const struct look *look)
{
	if (look->family != FAMILY_DATABASE)
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL)
		return;
	if (look->seen == NULL) {
		check_set(check, finding, RESULT_UNKNOWN, "not looked at");
		return;
	}
	if (look->seen->cause == CAUSE_UNRESOLVED) {
		check_set(
		    check, finding, RESULT_BLOCKED, "%s", look->seen->summary);
		return;
	}
	finding->confirmed = true;
	if (let_in(look->seen)) {
		check_set(check, finding, RESULT_PASSED, "logged in%s%s",
		    look->seen->identity == NULL ||
		            look->seen->identity[0] == '\0'
		        ? ""
		        : ", server ",
		    look->seen->identity == NULL ? "" : look->seen->identity);
		return;
	}
	look_fail(check, finding, look, "a login");
	check_fix(
	    check, finding, login_fix(check, look->seen), NULL, "reeve check");
}

void
check_rv401(struct check *check)
{
	looks_each(check, judge_login);
}

/* --- RV418 claim-not-atomic ------------------------------------------------
 */

static void
judge_claim(struct check *check, const struct look *look)
{
	static const char atomic[] = "atomic: ", unknown[] = "unknown: ";

	if (look->of != LOOK_CHECK || !look_asks(look, "claim"))
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);
	const char *outcome = look_fact(look->seen, "claim");

	if (finding == NULL)
		return;
	if (outcome == NULL || !text_equal(outcome, "twice")) {
		bool passed = outcome != NULL && text_starts(outcome, atomic);

		check_set(check, finding,
		    passed ? RESULT_PASSED : RESULT_UNKNOWN, "%s",
		    outcome == NULL ? "not tried"
		    : passed        ? outcome + sizeof(atomic) - 1
		    : text_starts(outcome, unknown)
		        ? outcome + sizeof(unknown) - 1
		        : outcome);
		return;
	}
	finding->confirmed = true;
	check_set(check, finding, RESULT_FAILED,
	    "two sessions that claimed at the same time got the same job");
	check_evidence(check, finding, look->seen->target,
	    "both transactions, rolled back, gave the same id",
	    "another job, none, or a wait");
	check_fix(check, finding,
	    "claim by one statement that locks what it reads: UPDATE ... WHERE "
	    "id = (SELECT ... FOR UPDATE SKIP LOCKED LIMIT 1), and commit it "
	    "before the work",
	    NULL, "reeve check");
}

void
check_rv418(struct check *check)
{
	looks_each(check, judge_claim);
}

/* --- what is in it: RV405, RV408, RV402, RV407 -----------------------------
 */

static bool
says_missing(const struct observation *seen)
{
	for (size_t i = 0; i < seen->nfacts; i++) {
		const struct fact *fact = &seen->facts[i];

		if (text_starts(fact->key, "columns-missing ") ||
		    ((text_starts(fact->key, "table ") ||
		         text_starts(fact->key, "index ")) &&
		        (text_equal(fact->value, "missing") ||
		            text_equal(fact->value, "invalid"))))
			return true;
	}
	return seen->cause == CAUSE_NOT_FOUND;
}

/* One look may find several faults; its cause and code are the first one's,
 * its summary tells all. */
static bool
is_fault_of(const struct observation *seen, unsigned row)
{
	bool migration = text_equal(seen->code, "migration") ||
	                 strstr(seen->summary, "migration") != NULL;

	if (seen->result == RESULT_PASSED)
		return false;
	switch (row) {
	case 402:
		return migration && (seen->cause == CAUSE_MISMATCH ||
		                        seen->cause == CAUSE_NOT_FOUND);
	case 405:
		return says_missing(seen);
	case 408:
		return seen->cause == CAUSE_PERMISSION;
	default:
		return seen->cause == CAUSE_MISMATCH && !migration &&
		       !says_missing(seen);
	}
}

/* Does this look say anything about that row when all is well? */
static bool
asks_about(const struct look *look, unsigned row)
{
	bool asked = look_asks(look, "query") || look_asks(look, "key") ||
	             look_asks(look, "execute");

	if (look->of == LOOK_QUEUE)
		return row == 405 && look->seen->queue != NULL;
	if (look->of != LOOK_CHECK)
		return false;
	switch (row) {
	case 402:
		return look_asks(look, "migration");
	case 405:
		return look_asks(look, "tables") || look_asks(look, "indexes");
	case 407:
		return asked;
	default:
		return asked || look_asks(look, "tables");
	}
}

static bool
holds_data(const struct look *look)
{
	return look->family == FAMILY_DATABASE ||
	       (look->of == LOOK_CHECK &&
	           (text_equal(look->kind, "redis") ||
	               text_equal(look->kind, "sqlite")));
}

static void
judge_schema(struct check *check, const struct look *look, const char *expected,
    const char *fix)
{
	unsigned number = check->row->number;

	if (!holds_data(look) || look->seen == NULL)
		return;
	const struct observation *seen = look->seen;
	bool hit = is_fault_of(seen, number);

	if (!hit && !asks_about(look, number))
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL)
		return;
	if (hit) {
		look_fail(check, finding, look, expected);
		check_fix(check, finding, fix, NULL, "reeve check");
	} else if (seen->result == RESULT_PASSED) {
		check_set(check, finding, RESULT_PASSED, "%s", seen->summary);
	} else if (seen->result == RESULT_FAILED &&
	           (number == 405 ||
	               (number == 408 && seen->cause == CAUSE_MISMATCH))) {
		check_set(check, finding, RESULT_PASSED,
		    number == 405 ? "it is there" : "it may be read");
	} else {
		/* What failed is another row's; whether this holds too was not
		 * told apart. */
		finding->finding.required = seen->result == RESULT_UNKNOWN;
		check_set(check, finding, RESULT_UNKNOWN, "%s", seen->summary);
	}
}

static void
judge_table(struct check *check, const struct look *look)
{
	if (look->of == LOOK_QUEUE && look->family == FAMILY_DATABASE &&
	    look->seen != NULL && look->seen->queue != NULL &&
	    look->seen->queue->exists == EXISTS_NO) {
		struct report_finding *finding =
		    look_begin(check, look, LOOK_LABEL_TARGET);

		if (finding == NULL)
			return;
		check_set(check, finding, RESULT_FAILED,
		    "the queue's table '%s' does not exist",
		    look->queue->real_name);
		check_evidence_of(check, finding, look->seen, "the table");
		check_fix(check, finding,
		    "run the migration that creates it; or correct its name, "
		    "schema or database (the nearest that exists is named)",
		    NULL, "reeve check");
		return;
	}
	judge_schema(check, look, "it exists",
	    "run the migration that creates it, in the schema that the worker "
	    "looks in (search_path)");
}

void
check_rv405(struct check *check)
{
	looks_each(check, judge_table);
}

static void
judge_grant(struct check *check, const struct look *look)
{
	judge_schema(check, look, "the right to do it",
	    "grant the role of this URL what the worker does; objects that "
	    "another role owns are not its own");
}

void
check_rv408(struct check *check)
{
	looks_each(check, judge_grant);
}

static void
judge_migration(struct check *check, const struct look *look)
{
	judge_schema(check, look, "the declared version",
	    "run the migrations before the workers, or deploy the workers that "
	    "fit this schema");
}

void
check_rv402(struct check *check)
{
	looks_each(check, judge_migration);
}

static void
judge_invariant(struct check *check, const struct look *look)
{
	if (look->of == LOOK_QUEUE)
		return; /* RV204: it isn't laid out as such a queue */
	judge_schema(check, look, "what the check declares",
	    "mend the data, or what the check expects of it");
}

void
check_rv407(struct check *check)
{
	looks_each(check, judge_invariant);
}

/* --- RV409 stuck-in-state, RV416 lease-expired-not-reclaimed ---------------
 */

static void
judge_stuck(struct check *check, const struct queue_look *look)
{
	const struct queue_number *missing = &look->state->lease_missing;
	struct report_finding *finding = queue_begin(check, look, missing);

	if (finding == NULL)
		return;
	/* Between taking a job and leasing it there is an instant. */
	if (look->later != NULL &&
	    queue_number_known(&look->later->lease_missing) &&
	    look->later->lease_missing.value < missing->value)
		missing = &look->later->lease_missing;
	if (missing->value == 0) {
		check_set(check, finding, RESULT_PASSED,
		    "every job in work is held by somebody");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%lld %s in work without a lease: nothing will ever take %s back",
	    (long long)missing->value,
	    missing->value == 1 ? "job is" : "jobs are",
	    missing->value == 1 ? "it" : "them");
	queue_evidence(check, finding, look,
	    queue_number_text(check, "in work without a lease", missing),
	    "0: work has a lease");
	queue_evidence(check, finding, look,
	    queue_number_text(check, "in work", &look->state->active), NULL);
	check_fix(check, finding,
	    "starting workers does not mend it: an unset lease is never "
	    "'before now'. Put those jobs back to waiting, and make the worker "
	    "set state and lease in one statement",
	    queue_command(check, look->queue, "peek --part active"),
	    "reeve check");
}

void
check_rv409(struct check *check)
{
	queues_each(check, judge_stuck);
}

static void
judge_expired(struct check *check, const struct queue_look *look)
{
	const struct queue_number *expired = &look->state->lease_expired;
	const struct queue_number *active = &look->state->active;
	double allowed = look->queue->objectives.lease_expiry_ratio;
	struct report_finding *finding = queue_begin(check, look, expired);

	if (finding == NULL)
		return;
	/* One that ran out just now is taken back at the next turn. */
	if (look->later != NULL &&
	    queue_number_known(&look->later->lease_expired) &&
	    look->later->lease_expired.value < expired->value)
		expired = &look->later->lease_expired;
	bool within = allowed >= 0 && active->know == KNOW_EXACT &&
	              active->value > 0 &&
	              (double)expired->value <= allowed * (double)active->value;

	if (expired->value == 0 || within) {
		check_set(check, finding, RESULT_PASSED, "%lld expired",
		    (long long)expired->value);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%lld %s run out, and nobody took the %s back",
	    (long long)expired->value,
	    expired->value == 1 ? "lease has" : "leases have",
	    expired->value == 1 ? "job" : "jobs");
	queue_evidence(check, finding, look,
	    queue_number_text(check, "expired", expired),
	    allowed < 0 ? "0"
	                : check_text(check, "at most %.0f %%", allowed * 100));
	queue_evidence(check, finding, look,
	    queue_number_text(check, "in work", active), NULL);
	check_fix(check, finding,
	    "the worker that held them died or was too slow: see that one "
	    "runs, that it extends its lease while it works, and that expired "
	    "jobs are offered again",
	    queue_command(check, look->queue, "reclaim"), "reeve check");
}

void
check_rv416(struct check *check)
{
	queues_each(check, judge_expired);
}
