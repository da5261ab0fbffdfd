/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rte_flow's template API as mlx5 has it under DPDK 24.11: the same order of calls, the same limits.
 * What mlx5 would not notice in a release build is refused here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "flow.h"

RTE_LOG_REGISTER(es_logtype, pmd.net.evenpath_sim, NOTICE);

int es_refuse(struct rte_flow_error *error, int rc, enum rte_flow_error_type type,
	      const char *why)
{
	rte_log(rc == -EBUSY ? RTE_LOG_DEBUG : RTE_LOG_ERR, es_logtype, "evenpath_sim: %s\n", why);
	return rte_flow_error_set(error, -rc, type, NULL, why);
}

static int domain_of(bool ingress, bool egress, bool transfer)
{
	if (ingress + egress + transfer != 1)
		return -EINVAL;
	return ingress ? 0 : egress ? 1 : 2;
}

static int info_get(struct rte_eth_dev *dev, struct rte_flow_port_info *port,
		    struct rte_flow_queue_info *queue, struct rte_flow_error *error)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(error);
	memset(port, 0, sizeof(*port));
	port->max_nb_queues = ES_MAX_QUEUES;
	port->max_nb_counters = 1 << 16;
	queue->max_size = 4096;
	return 0;
}

static int isolate(struct rte_eth_dev *dev, int set, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);

	if (dev->data->dev_started)
		return REFUSE(-EBUSY, STATE, "isolate: the port is started");
	/* Else what came meanwhile, and the kernel's, would be the application's (rte_flow_isolate). */
	if (port->settled)
		return REFUSE(-EBUSY, STATE, "isolate: the port was configured before");
	port->isolated = set;
	evenpath_sim_isolate(port->id, port->function, set);
	return 0;
}

static int configure(struct rte_eth_dev *dev, const struct rte_flow_port_attr *attr,
		     uint16_t n_queues, const struct rte_flow_queue_attr *queues[],
		     struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);

	RTE_SET_USED(attr);
	if (dev->data->dev_started)
		return REFUSE(-EINVAL, STATE, "configure: the port is started");
	/* What is fixed once: mlx5.rst, "HW steering". */
	if (port->configured)
		return REFUSE(-ENOTSUP, STATE, "configure: it was, and can be once");
	if (n_queues == 0 || n_queues > ES_MAX_QUEUES)
		return REFUSE(-EINVAL, UNSPECIFIED, "configure: number of queues");
	for (uint16_t i = 0; i < n_queues; i++) {
		if (queues[i]->size == 0 || queues[i]->size != queues[0]->size)
			return REFUSE(-EINVAL, UNSPECIFIED, "configure: queues differ in size");
		port->queues[i] = (struct es_queue){.size = queues[i]->size};
	}
	port->n_queues = n_queues;
	port->configured = true;
	dev->flow_fp_ops = &es_fp_ops;
	return 0;
}

void es_flow_leave(struct rte_eth_dev *dev)
{
	struct es_port *port = port_of(dev);
	uint32_t left = port->patterns + port->templates + port->tables + port->rules +
			port->handles;
	const char *why = NULL;

	if (left == 0)
		return;
	rte_log(RTE_LOG_ERR, es_logtype,
		"evenpath_sim: stop: %u handles are left, which are void now\n", left);
	if (evenpath_sim_forget(port->id, &why) < 0)
		rte_log(RTE_LOG_ERR, es_logtype, "evenpath_sim: stop: %s\n", why);
	for (uint16_t i = 0; i < port->n_queues; i++)
		port->queues[i].used = 0;
	es_classic_leave(port);
}

static struct rte_flow_pattern_template *
pattern_create(struct rte_eth_dev *dev, const struct rte_flow_pattern_template_attr *attr,
	       const struct rte_flow_item items[], struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	int domain = domain_of(attr->ingress, attr->egress, attr->transfer), rc;
	struct rte_flow_pattern_template *made;

	if (!port->configured || !dev->data->dev_started) {
		REFUSE(-EINVAL, STATE, "pattern template: configure and start the port before");
		return NULL;
	}
	if (domain < 0) {
		REFUSE(-EINVAL, ATTR, "pattern template: of one domain, and one only");
		return NULL;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		REFUSE(-ENOMEM, UNSPECIFIED, "pattern template: no memory");
		return NULL;
	}
	rc = es_pattern_template(items, &made->pattern);
	if (rc < 0) {
		free(made);
		REFUSE(rc, ITEM_MASK, "pattern template: an item or a mask that mlx5 does not take");
		return NULL;
	}
	made->port = port;
	made->domain = domain;
	made->pattern.relaxed = attr->relaxed_matching;
	port->patterns++;
	return made;
}

static int pattern_destroy(struct rte_eth_dev *dev, struct rte_flow_pattern_template *template,
			   struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);

	if (template->port != port)
		return REFUSE(-EINVAL, UNSPECIFIED, "pattern template: of another port");
	if (template->users != 0)
		return REFUSE(-EBUSY, UNSPECIFIED, "pattern template: a table has it");
	port->patterns--;
	free(template);
	return 0;
}

static struct rte_flow_actions_template *
actions_create(struct rte_eth_dev *dev, const struct rte_flow_actions_template_attr *attr,
	       const struct rte_flow_action actions[], const struct rte_flow_action masks[],
	       struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	int domain = domain_of(attr->ingress, attr->egress, attr->transfer), rc;
	struct rte_flow_actions_template *made;

	if (!port->configured || !dev->data->dev_started) {
		REFUSE(-EINVAL, STATE, "actions template: configure and start the port before");
		return NULL;
	}
	if (domain < 0 || masks == NULL) {
		REFUSE(-EINVAL, ATTR, "actions template: of one domain, and with masks");
		return NULL;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		REFUSE(-ENOMEM, UNSPECIFIED, "actions template: no memory");
		return NULL;
	}
	rc = es_actions(port, actions, masks, &made->actions);
	if (rc < 0) {
		free(made);
		REFUSE(rc, ACTION_CONF, "actions template: an action or a mask that mlx5 does not take");
		return NULL;
	}
	made->port = port;
	made->domain = domain;
	port->templates++;
	return made;
}

static int actions_destroy(struct rte_eth_dev *dev, struct rte_flow_actions_template *template,
			   struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);

	if (template->port != port)
		return REFUSE(-EINVAL, UNSPECIFIED, "actions template: of another port");
	if (template->users != 0)
		return REFUSE(-EBUSY, UNSPECIFIED, "actions template: a table has it");
	port->templates--;
	free(template);
	return 0;
}

/* 0 by pattern, 1 by index with CRC-32, 2 linear. */
static int insertion_of(const struct rte_flow_template_table_attr *attr)
{
	if (attr->insertion_type == RTE_FLOW_TABLE_INSERTION_TYPE_PATTERN)
		return attr->hash_func == RTE_FLOW_TABLE_HASH_FUNC_DEFAULT ? 0 : -ENOTSUP;
	if (attr->insertion_type != RTE_FLOW_TABLE_INSERTION_TYPE_INDEX)
		return -ENOTSUP;
	switch (attr->hash_func) {
	case RTE_FLOW_TABLE_HASH_FUNC_DEFAULT:
	case RTE_FLOW_TABLE_HASH_FUNC_CRC32:
		return 1;
	case RTE_FLOW_TABLE_HASH_FUNC_LINEAR:
		return 2;
	default:
		return -ENOTSUP;
	}
}

static struct rte_flow_template_table *
table_create(struct rte_eth_dev *dev, const struct rte_flow_template_table_attr *attr,
	     struct rte_flow_pattern_template *patterns[], uint8_t n_patterns,
	     struct rte_flow_actions_template *actions[], uint8_t n_actions,
	     struct rte_flow_error *error)
{
	const struct rte_flow_attr *flow = &attr->flow_attr;
	struct es_port *port = port_of(dev);
	int domain = domain_of(flow->ingress, flow->egress, flow->transfer);
	int insertion = insertion_of(attr);
	const struct es_actions *lists[ES_MAX_TEMPLATES];
	struct rte_flow_template_table *made;
	const char *why = NULL;
	struct es_table table;
	int64_t id;

	if (!dev->data->dev_started || domain < 0 || insertion < 0 || attr->specialize != 0 ||
	    n_patterns != 1 || n_actions == 0 || n_actions > ES_MAX_TEMPLATES) {
		REFUSE(insertion < 0 ? -ENOTSUP : -EINVAL, UNSPECIFIED,
		       "table: attributes, or a number of templates, that mlx5 does not take");
		return NULL;
	}
	if (patterns[0]->port != port || patterns[0]->domain != (uint32_t)domain) {
		REFUSE(-EINVAL, UNSPECIFIED, "table: a pattern template of another port or domain");
		return NULL;
	}
	for (uint8_t i = 0; i < n_actions; i++) {
		if (actions[i]->port != port || actions[i]->domain != (uint32_t)domain) {
			REFUSE(-EINVAL, UNSPECIFIED,
			       "table: an actions template of another port or domain");
			return NULL;
		}
		lists[i] = &actions[i]->actions;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		REFUSE(-ENOMEM, UNSPECIFIED, "table: no memory");
		return NULL;
	}
	table = (struct es_table){
		.port = port->id,
		.domain = domain,
		.group = flow->group,
		.priority = flow->priority,
		.insertion = insertion,
		.size = attr->nb_flows,
		.pattern = &patterns[0]->pattern,
		.templates = lists,
		.n_templates = n_actions,
	};
	id = evenpath_sim_table(&table, &why);
	if (id < 0) {
		free(made);
		REFUSE(id, UNSPECIFIED, why);
		return NULL;
	}
	made->port = port;
	made->id = id;
	made->by_index = insertion != 0;
	made->size = attr->nb_flows;
	made->pattern = patterns[0];
	made->n_actions = n_actions;
	patterns[0]->users++;
	for (uint8_t i = 0; i < n_actions; i++) {
		made->actions[i] = actions[i];
		actions[i]->users++;
	}
	port->tables++;
	return made;
}

static int table_destroy(struct rte_eth_dev *dev, struct rte_flow_template_table *table,
			 struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	const char *why = NULL;
	int rc;

	if (table->port != port)
		return REFUSE(-EINVAL, UNSPECIFIED, "table: of another port");
	if (table->rules != 0)
		return REFUSE(-EBUSY, UNSPECIFIED, "table: it has rules");
	rc = evenpath_sim_table_destroy(table->id, &why);
	if (rc < 0)
		return REFUSE(rc, UNSPECIFIED, why);
	table->pattern->users--;
	for (uint8_t i = 0; i < table->n_actions; i++)
		table->actions[i]->users--;
	port->tables--;
	free(table);
	return 0;
}

static int calc_hash(struct rte_eth_dev *dev, const struct rte_flow_template_table *table,
		     const struct rte_flow_item items[], uint8_t index, uint32_t *hash,
		     struct rte_flow_error *error)
{
	struct es_pattern spec = {0};
	const char *why = NULL;
	int rc;

	if (table->port != port_of(dev) || index != 0 || !table->by_index)
		return REFUSE(-ENOTSUP, UNSPECIFIED, "hash: of another table");
	rc = es_pattern_rule(&table->pattern->pattern, items, &spec);
	if (rc < 0)
		return REFUSE(rc, ITEM_SPEC, "hash: values that are not the template's");
	rc = evenpath_sim_hash(table->id, &spec, hash, &why);
	return rc < 0 ? REFUSE(rc, UNSPECIFIED, why) : 0;
}

static int query(struct rte_eth_dev *dev, struct rte_flow *flow,
		 const struct rte_flow_action *actions, void *data, struct rte_flow_error *error)
{
	struct rte_flow_query_count *count = data;
	uint64_t packets = 0, bytes = 0;
	const char *why = NULL;
	int rc;

	/* A query of nothing: whether the NIC has the rule. */
	if (flow->table != NULL && flow->table->port == port_of(dev) && actions[0].type == RTE_FLOW_ACTION_TYPE_VOID &&
	    actions[1].type == RTE_FLOW_ACTION_TYPE_END) {
		rc = evenpath_sim_lacks(flow->id, &why);
		return rc < 0 ? REFUSE(rc, HANDLE, why) : 0;
	}
	if (flow->table == NULL || flow->table->port != port_of(dev) || actions[0].type != RTE_FLOW_ACTION_TYPE_COUNT ||
	    actions[1].type != RTE_FLOW_ACTION_TYPE_END || count->reset)
		return REFUSE(-ENOTSUP, ACTION, "query: of COUNT alone, without a reset");
	rc = evenpath_sim_count(flow->id, &packets, &bytes, &why);
	if (rc < 0)
		return REFUSE(rc, HANDLE, why);
	count->hits = packets;
	count->bytes = bytes;
	count->hits_set = 1;
	count->bytes_set = 1;
	return 0;
}

struct rte_flow_ops es_flow_ops = {
	.query = query,
	.isolate = isolate,
	.info_get = info_get,
	.configure = configure,
	.pattern_template_create = pattern_create,
	.pattern_template_destroy = pattern_destroy,
	.actions_template_create = actions_create,
	.actions_template_destroy = actions_destroy,
	.template_table_create = table_create,
	.template_table_destroy = table_destroy,
	.flow_calc_table_hash = calc_hash,
};
