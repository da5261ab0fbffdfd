/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rte_flow's first API: a rule a call, in the root group of what comes in by a port, there when the call
 * returns. What mlx5 refuses of it is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

/* As many as an IP rule has, and END. */
#define MAX_ITEMS 8
/* Of the root group, without the driver's own (mlx5.rst, "Features"; the rest is not simulated). */
#define MAX_PRIORITY 2
/* MLX5_FLOW_MARK_MAX of mlx5_flow.h, v24.11. */
#define MAX_MARK 0xfffff0

struct es_rule {
	struct es_pattern masks, values;
	struct es_actions actions;
};

/* What matches where a rule says what and not of which bits (rte_flow_item.mask). */
static const void *default_mask(enum rte_flow_item_type type)
{
	switch (type) {
	case RTE_FLOW_ITEM_TYPE_ETH:
		return &rte_flow_item_eth_mask;
	case RTE_FLOW_ITEM_TYPE_IPV4:
		return &rte_flow_item_ipv4_mask;
	case RTE_FLOW_ITEM_TYPE_IPV6:
		return &rte_flow_item_ipv6_mask;
	case RTE_FLOW_ITEM_TYPE_UDP:
		return &rte_flow_item_udp_mask;
	case RTE_FLOW_ITEM_TYPE_TCP:
		return &rte_flow_item_tcp_mask;
	default:
		return NULL;
	}
}

static int pattern_of(const struct rte_flow_item *from, struct es_rule *rule)
{
	struct rte_flow_item items[MAX_ITEMS];
	uint32_t n = 0;
	int rc;

	for (;; from++) {
		if (n == MAX_ITEMS)
			return -E2BIG;
		items[n] = *from;
		if (from->type == RTE_FLOW_ITEM_TYPE_END)
			break;
		/* Ranges mlx5 does not have; a mask without what it masks nobody does. */
		if (from->last != NULL)
			return -ENOTSUP;
		if (from->spec == NULL && from->mask != NULL)
			return -EINVAL;
		if (from->spec != NULL && from->mask == NULL)
			items[n].mask = default_mask(from->type);
		if (from->spec != NULL && items[n].mask == NULL)
			return -ENOTSUP;
		n++;
	}
	rc = es_pattern_template(items, &rule->masks);
	if (rc < 0)
		return rc;
	/* Exactly the fields that are masked count. */
	rule->masks.relaxed = false;
	rc = es_pattern_rule(&rule->masks, items, &rule->values);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < rule->values.n; i++) {
		rule->values.values[i].low &= rule->masks.values[i].low;
		rule->values.values[i].high &= rule->masks.values[i].high;
	}
	return 0;
}

static int actions_of(const struct es_port *port, const struct rte_flow_action *from, struct es_rule *rule)
{
	int rc = es_actions(port, from, NULL, &rule->actions);
	bool ends = false;

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < rule->actions.n; i++) {
		const struct es_action *action = &rule->actions.list[i];

		switch (action->kind) {
		case ES_MARK:
			if (action->value >= MAX_MARK)
				return -EINVAL;
			break;
		case ES_QUEUE:
			if (action->value >= ES_MAX_QUEUES || port->rx[action->value].waiting == NULL)
				return -EINVAL;
			ends = true;
			break;
		case ES_RSS:
		case ES_DROP:
			ends = true;
			break;
		default:
			return -ENOTSUP;
		}
	}
	return ends ? 0 : -EINVAL;
}

/* What a rule is made of. Asking is no error, so nothing of it is logged. */
static int read_rule(struct rte_eth_dev *dev, const struct rte_flow_attr *attr, const struct rte_flow_item items[],
		     const struct rte_flow_action actions[], struct es_rule *rule, struct rte_flow_error *error)
{
	int rc;

	if (!dev->data->dev_started)
		return rte_flow_error_set(error, EINVAL, RTE_FLOW_ERROR_TYPE_STATE, NULL, "the port is not started");
	if (!attr->ingress || attr->egress || attr->transfer)
		return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR, NULL, "not of the ingress domain");
	if (attr->group != 0)
		return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_GROUP, NULL, "not of the root");
	if (attr->priority > MAX_PRIORITY)
		return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY, NULL, "out of range");
	rc = pattern_of(items, rule);
	if (rc < 0)
		return rte_flow_error_set(error, -rc, RTE_FLOW_ERROR_TYPE_ITEM, NULL, "a pattern that mlx5 does not take");
	rc = actions_of(port_of(dev), actions, rule);
	if (rc < 0)
		return rte_flow_error_set(error, -rc, RTE_FLOW_ERROR_TYPE_ACTION, NULL, "actions that mlx5 does not take");
	return 0;
}

static int validate(struct rte_eth_dev *dev, const struct rte_flow_attr *attr, const struct rte_flow_item items[],
		    const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	struct es_rule rule = {0};
	const char *why = NULL;
	int rc = read_rule(dev, attr, items, actions, &rule, error);

	if (rc < 0)
		return rc;
	rc = evenpath_sim_rule(port_of(dev)->id, attr->priority, &rule.masks, &rule.values, &rule.actions, true, &why);
	return rc < 0 ? rte_flow_error_set(error, -rc, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL, why) : 0;
}

static struct rte_flow *create(struct rte_eth_dev *dev, const struct rte_flow_attr *attr,
			       const struct rte_flow_item items[], const struct rte_flow_action actions[],
			       struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	struct es_rule rule = {0};
	struct rte_flow *flow;
	const char *why = "no memory";
	int64_t id;

	if (read_rule(dev, attr, items, actions, &rule, error) < 0)
		return NULL;
	flow = calloc(1, sizeof(*flow));
	id = flow == NULL ? -ENOMEM :
			    evenpath_sim_rule(port->id, attr->priority, &rule.masks, &rule.values, &rule.actions,
					      false, &why);
	if (id < 0) {
		free(flow);
		rte_flow_error_set(error, -id, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL, why);
		return NULL;
	}
	*flow = (struct rte_flow){.classic = port, .id = id, .next = port->classic};
	port->classic = flow;
	port->rules++;
	return flow;
}

static int destroy(struct rte_eth_dev *dev, struct rte_flow *flow, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	struct rte_flow **at = &port->classic;
	const char *why = NULL;
	int rc;

	while (*at != NULL && *at != flow)
		at = &(*at)->next;
	if (*at == NULL)
		return REFUSE(-EINVAL, HANDLE, "destroy: no rule of this port");
	rc = evenpath_sim_rule_destroy(flow->id, &why);
	if (rc < 0)
		return REFUSE(rc, HANDLE, why);
	*at = flow->next;
	port->rules--;
	free(flow);
	return 0;
}

static int flush(struct rte_eth_dev *dev, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	int rc = 0;

	while (port->classic != NULL && rc == 0)
		rc = destroy(dev, port->classic, error);
	return rc;
}

void es_classic_leave(struct es_port *port)
{
	while (port->classic != NULL) {
		struct rte_flow *next = port->classic->next;

		free(port->classic);
		port->classic = next;
		port->rules--;
	}
}

void es_classic_init(struct rte_flow_ops *ops)
{
	ops->validate = validate;
	ops->create = create;
	ops->destroy = destroy;
	ops->flush = flush;
}
