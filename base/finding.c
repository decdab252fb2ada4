/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/finding.h"

const char *
result_name(enum result result)
{
	switch (result) {
	case RESULT_UNKNOWN:
		return "unknown";
	case RESULT_PASSED:
		return "passed";
	case RESULT_FAILED:
		return "failed";
	case RESULT_BLOCKED:
		return "blocked";
	case RESULT_SKIPPED:
		return "skipped";
	case RESULT_WAIVED:
		return "waived";
	}
	UNREACHABLE("a result that is none");
}

const char *
severity_name(enum severity severity)
{
	switch (severity) {
	case SEVERITY_INFO:
		return "info";
	case SEVERITY_WARNING:
		return "warning";
	case SEVERITY_ERROR:
		return "error";
	case SEVERITY_CRITICAL:
		return "critical";
	}
	UNREACHABLE("a severity that is none");
}

const char *
role_name(enum role role)
{
	switch (role) {
	case ROLE_NONE:
		return "";
	case ROLE_ROOT:
		return "root";
	case ROLE_EXPLAINED:
		return "explained";
	case ROLE_LATENT:
		return "latent";
	case ROLE_UNEXPLAINED:
		return "unexplained";
	}
	UNREACHABLE("a role that is none");
}
