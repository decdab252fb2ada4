/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/resolve.h"
#include "manifests/settings_form.h"

/* What a worker's process is given: `securityContext`, `limits` and the like.
 * Names of users and groups stay names: only the host knows them. */

static struct declared_id
id_of(const struct resolve *r, const struct node *node)
{
	if (node == NULL)
		return (struct declared_id){0};
	return (struct declared_id){
	    arena_text(r->arena, node->text), resolve_place(r, node)};
}

static uint64_t
capabilities(char *const *names, unsigned count)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < count; i++)
		bits |= settings_capability(names[i]);
	return bits;
}

static bool
flag_of(const bool *value)
{
	return value != NULL && *value;
}

static void
take_security(struct resolve *r, const struct node *node,
    const struct manifest_security *raw, struct declared_security *ret)
{
	const struct node *groups = node_get(node, "supplementalGroups");
	const struct node *it = node_items(groups);

	*ret = (struct declared_security){0};
	if (raw == NULL)
		return;
	ret->user = id_of(r, node_get(node, "runAsUser"));
	ret->group = id_of(r, node_get(node, "runAsGroup"));
	ret->ngroups = raw->groups_count;
	ret->groups =
	    arena_array(r->arena, ret->ngroups + 1, sizeof(*ret->groups));
	for (size_t i = 0; i < ret->ngroups; i++, it = it->next)
		ret->groups[i] = id_of(r, it);
	ret->place = resolve_place(r, node);
	ret->non_root = flag_of(raw->non_root);
	ret->escalation = flag_of(raw->escalation);
	if (raw->capabilities == NULL)
		return;
	ret->capabilities = true;
	ret->cap_add =
	    capabilities(raw->capabilities->add, raw->capabilities->add_count);
	ret->cap_drop = capabilities(
	    raw->capabilities->drop, raw->capabilities->drop_count);
}

/* The rows of the table are the limits that there are. */
static void
take_limits(
    struct resolve *r, const struct node *node, struct declared_settings *ret)
{
	const struct mapping *mapping = mapping_of(MAPPING_rlimits);

	ret->limits =
	    arena_array(r->arena, mapping->nrows, sizeof(*ret->limits));
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const char *text = node_text(node_get(node, row->key));
		struct declared_limit limit = {.name = row->key};
		if (text == NULL)
			continue;
		(void)settings_limit(
		    text, row->form == FORM_RLIMIT_BYTES, &limit);
		ret->limits[ret->nlimits++] = limit;
	}
}

void
resolve_settings(struct resolve *r, const struct node *node,
    const struct manifest_worker *raw, struct declared_worker *worker)
{
	struct declared_settings *to = &worker->settings;

	take_security(r, node_get(node, "securityContext"), raw->security,
	    &worker->security);
	*to = (struct declared_settings){.nice = DECLARED_UNSET,
	    .oom_score_adj = DECLARED_UNSET,
	    .umask = UINT32_MAX};
	take_limits(r, node_get(node, "limits"), to);
	if (raw->nice != NULL)
		to->nice = *raw->nice;
	if (raw->oom_score_adj != NULL)
		to->oom_score_adj = *raw->oom_score_adj;
	if (raw->scheduling != NULL)
		to->scheduling =
		    arena_text(r->arena, node_get(node, "scheduling")->text);
	if (raw->io != NULL) {
		const struct node *io = node_get(node, "ioPriority");
		to->io_class =
		    arena_text(r->arena, node_get(io, "class")->text);
		to->io_level =
		    resolve_int(raw->io->level, DEFAULT_OF(io_priority, level));
	}
	if (raw->cpus != NULL) {
		const struct node *cpus = node_get(node, "cpus");
		to->cpus_place = resolve_place(r, cpus);
		to->has_cpus = settings_cpus(raw->cpus, to->cpus);
	}
	if (raw->umask != NULL)
		(void)settings_umask(raw->umask, &to->umask);
}
