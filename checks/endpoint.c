/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/rows.h"

/* The ladder: does the name resolve, does a connection come about, does TLS
 * stand, and does what answers let us in? One row a rung. */

static const struct step *
step_find(const struct observation *seen, enum step_kind kind)
{
	for (size_t i = 0; seen != NULL && i < seen->nsteps; i++)
		if (seen->steps[i].kind == kind)
			return &seen->steps[i];
	return NULL;
}

/* One rung: the step as it was seen; an observation without steps says by its
 * cause where it ended. */
static void
judge_step(struct check *check, const struct look *look, enum step_kind kind,
    enum look_label label, bool ended_here, const char *fix)
{
	const struct step *step = step_find(look->seen, kind);

	if (look->seen == NULL || (step == NULL && !ended_here))
		return;
	struct report_finding *finding = look_begin(check, look, label);

	if (finding == NULL)
		return;
	if (step != NULL && step->result == RESULT_PASSED) {
		check_set(check, finding, RESULT_PASSED, "%s",
		    step->detail == NULL || step->detail[0] == '\0'
		        ? "it stands"
		        : step->detail);
		return;
	}
	look_fail(check, finding, look, NULL);
	/* The rung failed although the whole look isn't called failed: its own
	 * result counts. */
	if (step != NULL && step->result == RESULT_FAILED)
		finding->finding.result = RESULT_FAILED;
	check_fix(check, finding, fix, NULL, "reeve check");
}

static void
judge_dns(struct check *check, const struct look *look)
{
	enum cause cause = look->seen != NULL ? look->seen->cause : CAUSE_NONE;

	judge_step(check, look, STEP_DNS, LOOK_LABEL_HOST, cause == CAUSE_DNS,
	    cause == CAUSE_URL
	        ? "correct the URL: within a user or a password '%', '/', '?', "
	          "'#', '@' and ':' are written as %25, %2F, %3F, %23, %40 and "
	          "%3A"
	        : "correct the host's name, or make it resolve where the "
	          "workers run (search domains, namespace, network)");
}

void
check_rv130(struct check *check)
{
	looks_each(check, judge_dns);
}

static void
judge_tcp(struct check *check, const struct look *look)
{
	enum cause cause = look->seen == NULL ? CAUSE_NONE : look->seen->cause;

	judge_step(check, look, STEP_TCP, LOOK_LABEL_PORT,
	    cause == CAUSE_REFUSED || cause == CAUSE_UNREACHABLE,
	    "start the service, correct the port, or open the way to it "
	    "(firewall, network policy, security group)");
}

void
check_rv131(struct check *check)
{
	looks_each(check, judge_tcp);
}

static void
judge_tls(struct check *check, const struct look *look)
{
	judge_step(check, look, STEP_TLS, LOOK_LABEL_PORT,
	    look->seen != NULL && look->seen->cause == CAUSE_TLS,
	    "use the scheme that the port speaks (redis:// or rediss://, "
	    "sslmode=…), and a certificate for this name that has not "
	    "expired");
}

void
check_rv129(struct check *check)
{
	looks_each(check, judge_tls);
}

/* What was never looked at, or could not be asked because something in the
 * declaration is missing. True when the finding is settled by that. */
static bool
not_looked(struct check *check, struct report_finding *finding,
    const struct look *look)
{
	if (look->seen == NULL) {
		check_set(check, finding, RESULT_UNKNOWN, "not looked at");
		return true;
	}
	if (look->seen->cause == CAUSE_UNRESOLVED) {
		check_set(
		    check, finding, RESULT_BLOCKED, "%s", look->seen->summary);
		return true;
	}
	return false;
}

/* --- RV206 broker-auth-ping ------------------------------------------------
 */

/* The broker let us in; what it says about the key or row is another row's. */
static bool
broker_answered(const struct look *look)
{
	switch (look->seen->cause) {
	case CAUSE_NONE:
		return look->seen->result == RESULT_PASSED;
	case CAUSE_WRONG_TYPE:
	case CAUSE_MISMATCH:
	case CAUSE_NOT_FOUND: /* of a queue: RV209 */
		return true;
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
	case CAUSE_PERMISSION:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_UNAVAILABLE:
		return look->seen->result == RESULT_PASSED;
	}
	UNREACHABLE("a cause that is none");
}

static const char *
broker_fix(const struct observation *seen)
{
	if (seen->cause == CAUSE_AUTH)
		return "use the password that the broker knows; take it from "
		       "the secret";
	if (seen->cause == CAUSE_PERMISSION)
		return "grant the account the commands and keys that the "
		       "worker needs";
	if (seen->cause == CAUSE_NOT_FOUND)
		return "correct the path, or create the queue where the "
		       "workers expect it";
	if (seen->cause == CAUSE_WRONG_DATABASE)
		return "correct the database or vhost in the URL, or grant the "
		       "account access to it";
	return "see what the broker says, and what listens there";
}

static void
judge_broker(struct check *check, const struct look *look)
{
	if (look->family != FAMILY_BROKER)
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_PORT);

	if (finding == NULL || not_looked(check, finding, look))
		return;
	finding->confirmed = true;
	if (broker_answered(look)) {
		check_set(
		    check, finding, RESULT_PASSED, "%s", look->seen->summary);
		return;
	}
	look_fail(check, finding, look, "it answers and lets us in");
	check_fix(check, finding, broker_fix(look->seen), NULL, "reeve check");
}

void
check_rv206(struct check *check)
{
	looks_each(check, judge_broker);
}

/* What answered a declared check: the finding when it isn't as `expected`, for
 * its fix; NULL when there is nothing to mend. */
static struct report_finding *
judge_answer(struct check *check, const struct look *look, const char *expected)
{
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL || not_looked(check, finding, look))
		return NULL;
	finding->confirmed = true;
	if (look->seen->result == RESULT_PASSED) {
		check_set(
		    check, finding, RESULT_PASSED, "%s", look->seen->summary);
		return NULL;
	}
	look_fail(check, finding, look, expected);
	return finding;
}

/* --- RV110 dependency-endpoint ---------------------------------------------
 */

static const char *
service_fix(struct check *check, const struct observation *seen)
{
	if (seen->cause == CAUSE_NOT_FOUND)
		return check_text(check,
		    "the server answers, so the path is wrong or the service "
		    "behind it isn't routed: correct the URL (%s)",
		    seen->target);
	if (seen->cause == CAUSE_AUTH || seen->cause == CAUSE_PERMISSION)
		return "the key or token is refused: give the workers one that "
		       "is valid";
	if (seen->cause == CAUSE_MISMATCH)
		return "what answers is not what was expected: is it the right "
		       "service, the right version?";
	return "see the service's own log at that time";
}

static void
judge_service(struct check *check, const struct look *look)
{
	/* Of a variable only the way to it is judged (RV130, 131, 129): which
	 * path answers what is a declared check's business. */
	if (look->family != FAMILY_SERVICE || look->of != LOOK_CHECK)
		return;
	struct report_finding *finding =
	    judge_answer(check, look, "what the check declares");

	if (finding == NULL)
		return;
	check_fix(check, finding, service_fix(check, look->seen), NULL,
	    "reeve check");
}

void
check_rv110(struct check *check)
{
	looks_each(check, judge_service);
}

/* --- RV115 object-store-rw ------------------------------------------------
 */

static const char *
object_fix(const struct observation *seen)
{
	switch ((int)seen->cause) {
	case CAUSE_AUTH:
		return "use the keys that the store knows, from the secret; and "
		       "look at this machine's clock and the region";
	case CAUSE_PERMISSION:
		return "grant the keys put, get and delete on this bucket and "
		       "prefix";
	case CAUSE_NOT_FOUND:
		return "correct the bucket's name or the key, or create it "
		       "where the workers expect it";
	default:
		return "see what the store says";
	}
}

static void
judge_objects(struct check *check, const struct look *look)
{
	if (look->family != FAMILY_OBJECTS)
		return;
	struct report_finding *finding = judge_answer(check, look,
	    look_asks(look, "key") ? "the object is as declared"
	                           : "an object is put, got back and deleted");

	if (finding == NULL)
		return;
	check_fix(check, finding, object_fix(look->seen), NULL, "reeve check");
}

void
check_rv115(struct check *check)
{
	looks_each(check, judge_objects);
}

/* --- RV119 runtime-env-mismatch --------------------------------------------
 */

static void
judge_local(struct check *check, const struct look *look)
{
	if (look->family != FAMILY_LOCAL || text_equal(look->kind, "sqlite"))
		return;
	struct report_finding *finding =
	    judge_answer(check, look, "what the check declares");

	if (finding == NULL)
		return;
	check_fix(check, finding,
	    "install it, mount it, or correct what the check expects", NULL,
	    "reeve check");
}

void
check_rv119(struct check *check)
{
	looks_each(check, judge_local);
}
