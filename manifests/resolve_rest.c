/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/resolve.h"

/* --- checks --- */

void
resolve_checks(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "checks"));

	declared->nchecks = r->raw->checks_count;
	declared->checks =
	    arena_array(r->arena, declared->nchecks, sizeof(*declared->checks));
	for (size_t i = 0; i < declared->nchecks; i++, node = node->next) {
		const struct manifest_check *raw = &r->raw->checks[i];
		const struct row *row = resolve_chosen(MAPPING_check, node);
		declared->checks[i] = (struct declared_check){
		    .name = arena_text(r->arena, raw->name),
		    .place = resolve_place(r, node),
		    .request = resolve_request(
		        r, row->key, row->sub, node_get(node, row->key)),
		    .timeout_ms = resolve_duration(
		        raw->timeout, DEFAULT_OF(check, timeout)),
		    .required = raw->required == NULL || *raw->required};
	}
}

/* --- smoke --- */

/* `mode: isolated`: the same queue under the name that its key `test` says, so
 * that nobody downstream can send the canary into the live one. */
static const struct declared_queue *
test_queue(struct resolve *r, const struct declared_queue *live,
    const struct node *mode)
{
	struct declared_queue *test = arena_alloc(r->arena, sizeof(*test));
	const char *name = NULL;

	*test = *live;
	test->options =
	    arena_array(r->arena, live->noptions, sizeof(*test->options));
	test->noptions = 0;
	for (size_t i = 0; i < live->noptions; i++) {
		if (text_equal(live->options[i].key, "test"))
			name = live->options[i].value;
		else
			test->options[test->noptions++] = live->options[i];
	}
	if (name == NULL && live->url_unresolved == NULL)
		complain(r->complaints, mode,
		    "'isolated' needs the key 'test' of queue '%s'",
		    live->name);
	test->real_name = name;
	for (size_t i = 0; i < test->noptions; i++) {
		if (text_equal(test->options[i].key, live->real_key))
			test->options[i].value = name;
	}
	return test;
}

static const char *
state_word(const enum manifest_state *state)
{
	const struct row *row =
	    &mapping_of(MAPPING_stage)->rows[ROW_stage_state];

	return state == NULL ? NULL : row->words[*state];
}

static struct declared_stage
stage_of(struct resolve *r, const struct manifest_stage *raw,
    const struct node *node, const struct declared_smoke *smoke)
{
	const struct row *row = resolve_chosen(MAPPING_stage, node);
	struct declared_stage stage = {.name = arena_text(r->arena, raw->name),
	    .place = resolve_place(r, node),
	    .within_ms =
	        resolve_duration(raw->within, DEFAULT_OF(stage, within)),
	    .by = arena_text(r->arena, raw->by)};

	if (raw->queue != NULL) {
		stage.queue = declared_queue_find(r->declared, raw->queue);
		if (smoke->isolated &&
		    text_equal(stage.queue->name, smoke->queue->name))
			stage.queue = smoke->queue;
		stage.state = state_word(raw->state);
		stage.request =
		    (struct declared_probe_request){"queue", "{}", NULL};
		if (stage.queue->url == NULL)
			stage.request.unresolved = stage.queue->url_unresolved;
	} else {
		stage.request = resolve_request(
		    r, row->key, row->sub, node_get(node, row->key));
	}
	return stage;
}

static void
take_cleanup(
    struct resolve *r, const struct node *node, struct declared_smoke *smoke)
{
	const struct mapping *mapping = mapping_of(MAPPING_cleanup);

	if (node == NULL)
		return;
	smoke->cleanup =
	    arena_array(r->arena, node->count, sizeof(*smoke->cleanup));
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		const struct row *row = mapping_row(mapping, it->key->text);
		smoke->cleanup[smoke->ncleanup++] =
		    resolve_request(r, row->key, row->sub, it);
	}
}

/* A payload that needs what is missing would be another payload. */
static const char *
payload_of(struct resolve *r, const char *text, const struct node *node)
{
	struct resolved_text payload = resolve_text(r, text, node);

	if (payload.unresolved != NULL && r->options->environ != NULL) {
		complain(r->complaints, node,
		    "'payload' needs what has no value here: %s",
		    payload.unresolved);
		return NULL;
	}
	return payload.text == NULL ? arena_text(r->arena, text) : payload.text;
}

void
resolve_smokes(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "smoke"));

	declared->nsmokes = r->raw->smokes_count;
	declared->smokes =
	    arena_array(r->arena, declared->nsmokes, sizeof(*declared->smokes));
	for (size_t i = 0; i < declared->nsmokes; i++, node = node->next) {
		const struct manifest_smoke *raw = &r->raw->smokes[i];
		struct declared_smoke *smoke = &declared->smokes[i];
		const struct node *stage = node_items(node_get(node, "stages"));
		smoke->name = arena_text(r->arena, raw->name);
		smoke->place = resolve_place(r, node);
		smoke->isolated =
		    raw->mode != NULL && *raw->mode == WORD_smoke_mode_ISOLATED;
		smoke->queue =
		    declared_queue_find(declared, raw->submit->queue);
		if (smoke->isolated)
			smoke->queue =
			    test_queue(r, smoke->queue, node_get(node, "mode"));
		smoke->payload = payload_of(r, raw->submit->payload,
		    node_get(node_get(node, "submit"), "payload"));
		smoke->floor_ms = resolve_duration(raw->floor, "0");
		smoke->nstages = raw->stages_count;
		smoke->stages = arena_array(
		    r->arena, smoke->nstages, sizeof(*smoke->stages));
		for (size_t j = 0; j < smoke->nstages; j++) {
			smoke->stages[j] =
			    stage_of(r, &raw->stages[j], stage, smoke);
			stage = stage->next;
		}
		take_cleanup(r, node_get(node, "cleanup"), smoke);
	}
}

/* --- alerts, waivers, supervisor --- */

static const char *
take_hidden(struct resolve *r, const char *text, const char *dflt,
    const struct node *at)
{
	if (at == NULL)
		return dflt;
	const char *value = resolve_text(r, text, at).text;

	if (r->redactor != NULL && value != NULL)
		redactor_add(r->redactor, value);
	return value;
}

static void
take_receiver(struct resolve *r, const struct manifest_alert *raw,
    const struct node *node, struct declared_alert *alert)
{
	const struct node *receiver = node_get(node, alert->kind);
	const struct node *url = node_get(receiver, "url");

	if (raw->webhook != NULL) {
		bool slack = raw->webhook->format != NULL &&
		             *raw->webhook->format == WORD_webhook_format_SLACK;
		alert->url = take_hidden(r, raw->webhook->url, NULL, url);
		alert->key = take_hidden(r, raw->webhook->hmac_key, NULL,
		    node_get(receiver, "hmacKey"));
		alert->format = slack ? "slack" : "json";
	} else if (raw->slack != NULL) {
		alert->url = take_hidden(r, raw->slack->url, NULL, url);
		alert->format = "slack";
	} else if (raw->pagerduty != NULL) {
		alert->url = take_hidden(
		    r, raw->pagerduty->url, DEFAULT_OF(pagerduty, url), url);
		alert->key = take_hidden(r, raw->pagerduty->routing_key, NULL,
		    node_get(receiver, "routingKey"));
	} else if (raw->alertmanager != NULL) {
		alert->url = take_hidden(r, raw->alertmanager->url, NULL, url);
		alert->repeat_ms = resolve_duration(raw->alertmanager->resend,
		    DEFAULT_OF(alertmanager, resend));
	} else if (raw->command_count > 0) {
		alert->command =
		    resolve_texts(r, raw->command, raw->command_count);
	}
}

static void
resolve_alert_rules(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "alertRules"));

	declared->nalert_rules = r->raw->alert_rules_count;
	declared->alert_rules = arena_array(
	    r->arena, declared->nalert_rules, sizeof(*declared->alert_rules));
	for (size_t i = 0; i < declared->nalert_rules; i++, node = node->next) {
		const struct manifest_alert_rule *raw = &r->raw->alert_rules[i];
		struct declared_alert_rule *rule = &declared->alert_rules[i];
		*rule = (struct declared_alert_rule){
		    .kind = arena_text(r->arena, raw->kind),
		    .place = resolve_place(r, node),
		    .for_ms = resolve_duration(
		        raw->hold, DEFAULT_OF(alert_rule, hold)),
		    .send = raw->send == NULL || *raw->send,
		    .has_severity = raw->severity != NULL,
		};
		if (raw->severity != NULL)
			rule->severity = (enum severity) * raw->severity;
	}
}

static void
resolve_preset(struct resolve *r)
{
	const struct manifest_alert_presets *presets = r->raw->alert_presets;

	if (presets == NULL || presets->standard == NULL)
		return;
	const struct manifest_preset_default *raw = presets->standard;
#define DEFAULT(member) DEFAULT_OF(preset_default, member)
	r->declared->preset = (struct declared_preset){
	    .on = true,
	    .no_consumer_ms =
	        resolve_duration(raw->no_consumer, DEFAULT(no_consumer)),
	    .lease_expired_ms =
	        resolve_duration(raw->lease_expired, DEFAULT(lease_expired)),
	    .absent_ms = resolve_duration(raw->absent, DEFAULT(absent)),
	    .window_ms = resolve_duration(raw->window, DEFAULT(window)),
	    .oldest_factor =
	        resolve_int(raw->oldest_factor, DEFAULT(oldest_factor)),
	    .success_factor =
	        resolve_int(raw->success_factor, DEFAULT(success_factor)),
	    .canary_factor =
	        resolve_int(raw->canary_factor, DEFAULT(canary_factor)),
	    .attempts = resolve_int(raw->attempts, DEFAULT(attempts)),
	    .dead_letters =
	        resolve_int(raw->dead_letters, DEFAULT(dead_letters)),
	    .min_count = resolve_int(raw->min_count, DEFAULT(min_count)),
	};
#undef DEFAULT
}

void
resolve_alerts(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "alerts"));

	declared->nalerts = r->raw->alerts_count;
	declared->alerts =
	    arena_array(r->arena, declared->nalerts, sizeof(*declared->alerts));
	for (size_t i = 0; i < declared->nalerts; i++, node = node->next) {
		const struct manifest_alert *raw = &r->raw->alerts[i];
		struct declared_alert *alert = &declared->alerts[i];
		alert->name = arena_text(r->arena, raw->name);
		alert->place = resolve_place(r, node);
		alert->kind = resolve_chosen(MAPPING_alert, node)->key;
		alert->repeat_ms =
		    resolve_duration(raw->repeat, DEFAULT_OF(alert, repeat));
		alert->group_wait_ms = resolve_duration(
		    raw->group_wait, DEFAULT_OF(alert, group_wait));
		alert->by_subject = raw->group_by != NULL &&
		                    *raw->group_by == WORD_alert_group_SUBJECT;
		if (raw->min_severity != NULL)
			alert->min_severity =
			    (enum severity) * raw->min_severity;
		take_receiver(r, raw, node, alert);
	}
	resolve_alert_rules(r);
	resolve_preset(r);
}

void
resolve_waivers(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "waivers"));

	declared->nwaivers = r->raw->waivers_count;
	declared->waivers = arena_array(
	    r->arena, declared->nwaivers, sizeof(*declared->waivers));
	for (size_t i = 0; i < declared->nwaivers; i++, node = node->next) {
		const struct manifest_waiver *raw = &r->raw->waivers[i];
		declared->waivers[i] = (struct declared_waiver){
		    .id = arena_text(r->arena, raw->id),
		    .subject = arena_text(r->arena, raw->subject),
		    .because = arena_text(r->arena, raw->because),
		    .owner = arena_text(r->arena, raw->owner),
		    .expires = arena_text(r->arena, raw->expires),
		    .place = resolve_place(r, node)};
	}
}

static const char *
word_of(enum mapping_id id, size_t row, const int *value)
{
	const struct row *it = &mapping_of(id)->rows[row];

	return value == NULL ? it->dflt : it->words[*value];
}

static void
take_rate_limit(const struct manifest_rate_limit *raw, struct declared_logs *to)
{
	to->burst_ms =
	    resolve_duration(raw->burst, DEFAULT_OF(rate_limit, burst));
	to->rate_lines = resolve_int(raw->lines, "0");
	to->rate_bytes = 0;
	if (raw->bytes != NULL &&
	    text_quantity(raw->bytes, &to->rate_bytes, NULL) == 0)
		to->rate_bytes = MAX(to->rate_bytes, (int64_t)1);
}

/* What `raw` says replaces what is there. */
static void
take_logs(const struct manifest_logs *raw, struct declared_logs *to)
{
	if (raw->format != NULL) {
		const int word = (int)*raw->format;
		to->format = word_of(MAPPING_logs, ROW_logs_format, &word);
	}
	if (raw->when_blocked != NULL) {
		const int word = (int)*raw->when_blocked;
		to->when_blocked =
		    word_of(MAPPING_logs, ROW_logs_when_blocked, &word);
	}
	if (raw->keep_lines != NULL)
		to->keep_lines = *raw->keep_lines;
	if (raw->rate_limit != NULL)
		take_rate_limit(raw->rate_limit, to);
}

struct declared_logs
resolve_logs(const struct resolve *r, const struct manifest_logs *of_worker)
{
	const struct manifest_supervisor *supervisor = r->raw->supervisor;
	struct declared_logs logs = {
	    .format = DEFAULT_OF(logs, format),
	    .when_blocked = DEFAULT_OF(logs, when_blocked),
	    .keep_lines = resolve_int(NULL, DEFAULT_OF(logs, keep_lines)),
	};

	if (supervisor != NULL && supervisor->logs != NULL)
		take_logs(supervisor->logs, &logs);
	if (of_worker != NULL)
		take_logs(of_worker, &logs);
	return logs;
}

static void
take_status(struct resolve *r, const struct manifest_status_server *raw,
    struct declared_status *to)
{
	const struct node *node = node_get(
	    node_get(node_get(r->root, "supervisor"), "status"), "token");

	to->listen = arena_text(
	    r->arena, raw->listen == NULL ? DEFAULT_OF(status_server, listen)
	                                  : raw->listen);
	if (raw->tls != NULL) {
		to->certificate = arena_text(
		    r->arena, resolve_beside(r, raw->tls->certificate));
		to->key =
		    arena_text(r->arena, resolve_beside(r, raw->tls->key));
	}
	if (raw->token == NULL)
		return;
	struct resolved_text token = resolve_text(r, raw->token, node);

	to->token = token.text;
	to->token_unresolved = token.unresolved;
	if (token.text != NULL && *token.text == '\0')
		complain(r->complaints, node,
		    "'token' is empty once $(…) is filled in");
	if (r->redactor != NULL && token.text != NULL)
		redactor_add(r->redactor, token.text);
}

void
resolve_supervisor(struct resolve *r)
{
	static const struct manifest_supervisor none = {0};
	const struct manifest_supervisor *raw =
	    r->raw->supervisor == NULL ? &none : r->raw->supervisor;
	struct declared_supervisor *to = &r->declared->supervisor;
	int second = raw->second_term == NULL ? 0 : (int)*raw->second_term;
	int code = raw->exit_code == NULL ? 0 : (int)*raw->exit_code;

	to->grace_ms = resolve_duration(raw->grace, NULL);
	to->exit_on_term = resolve_int(
	    raw->exit_on_term, DEFAULT_OF(supervisor, exit_on_term));
	to->second_term =
	    word_of(MAPPING_supervisor, ROW_supervisor_second_term,
	        raw->second_term == NULL ? NULL : &second);
	to->exit_code = word_of(MAPPING_supervisor, ROW_supervisor_exit_code,
	    raw->exit_code == NULL ? NULL : &code);
	to->logs = resolve_logs(r, NULL);
	to->liveness_port =
	    raw->liveness == NULL ? -1 : resolve_int(raw->liveness->port, "-1");
	to->observe_every_ms =
	    resolve_duration(raw->observe == NULL ? NULL : raw->observe->every,
	        DEFAULT_OF(observe, every));
	if (raw->status != NULL)
		take_status(r, raw->status, &to->status);
	to->control_group = raw->control == NULL
	                        ? NULL
	                        : arena_text(r->arena, raw->control->group);
}
