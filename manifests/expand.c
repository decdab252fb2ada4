/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/expand.h"

void
expand(struct buffer *out, const char *text, size_t len, expand_fn *lookup,
    void *arg)
{
	const char *end = text + len;

	for (const char *p = text; p < end; p++) {
		if (*p != '$' || p + 1 == end) {
			buffer_append(out, p, 1);
			continue;
		}
		if (p[1] == '$') {
			buffer_append(out, "$", 1);
			p++;
			continue;
		}
		const char *close =
		    p[1] == '(' ? memchr(p, ')', (size_t)(end - p)) : NULL;
		if (close == NULL) {
			buffer_append(out, p, 1);
			continue;
		}
		if (!lookup(arg, p + 2, (size_t)(close - p - 2), out))
			buffer_append(out, p, (size_t)(close - p + 1));
		p = close;
	}
}

/* The end of `$tag$` at `p`, or NULL. */
static const char *
dollar_tag(const char *p)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	const char *end = p + 1 + strspn(p + 1, letters);

	return *end == '$' ? end + 1 : NULL;
}

static const char *
after_text(const char *p, const char *end)
{
	const char *found = strstr(p, end);

	return found == NULL ? p + strlen(p) : found + strlen(end);
}

/* The end of the quoted text or comment that begins at `p`; `p`: none does.
 * A doubled quote begins another piece, which comes to the same. */
static const char *
skip_quoted(const char *p, bool escapes)
{
	const char *tag;

	if (p[0] == '-' && p[1] == '-')
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*')
		return after_text(p + 2, "*/");
	if (p[0] == '$' && p[1] != '(' && (tag = dollar_tag(p)) != NULL) {
		size_t len = (size_t)(tag - p);
		const char *q = tag;
		while (*q != '\0' && strncmp(q, p, len) != 0)
			q++;
		return *q == '\0' ? q : q + len;
	}
	if (*p != '\'' && *p != '"' && *p != '`')
		return p;
	const char *q = p + 1;
	while (*q != '\0' && *q != *p)
		q += escapes && *q == '\\' && q[1] != '\0' ? 2 : 1;
	return *q == '\0' ? q : q + 1;
}

ptrdiff_t
expand_sql_quoted(const char *sql, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = sql; *p != '\0';) {
		bool escapes =
		    *p == '\'' && p > sql && (p[-1] == 'E' || p[-1] == 'e');
		const char *after = skip_quoted(p, escapes);
		const char *found = memmem(p, (size_t)(after - p), name, len);
		if (found != NULL)
			return found - sql;
		p = after == p ? p + 1 : after;
	}
	return -1;
}
