/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of the template API: queued, pushed, completed. DPDK calls these directly. */
#include <errno.h>
#include <stdlib.h>

#include "flow.h"

/* Filled by es_flow_init. */
struct rte_flow_fp_ops es_fp_ops;

/* A queue that has room, on a started port; the operation that will stand in it. */
struct es_op *es_admit(struct rte_eth_dev *dev, uint32_t queue, enum es_op_kind kind,
		       void *user_data, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	struct es_op *op;

	if (!dev->data->dev_started || queue >= port->n_queues) {
		REFUSE(-EINVAL, STATE, "operation: not started, or no such queue");
		return NULL;
	}
	if (port->queues[queue].used == port->queues[queue].size) {
		/* Of indirect actions mlx5 says so (flow_hw_action_job_init). */
		bool shared = kind >= ES_SHARE;

		REFUSE(shared ? -ENOMEM : -EBUSY, STATE, "operation: the queue is full");
		return NULL;
	}
	op = calloc(1, sizeof(*op));
	if (op == NULL) {
		REFUSE(-ENOMEM, UNSPECIFIED, "operation: no memory");
		return NULL;
	}
	op->kind = kind;
	op->user_data = user_data;
	return op;
}

/* The operation is the e-switch's. */
int es_taken(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
	     struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	const char *why = NULL;
	int rc;

	port->queues[queue].used++;
	if (attr->postpone)
		return 0;
	rc = evenpath_sim_push(port->id, queue, &why);
	return rc < 0 ? REFUSE(rc, UNSPECIFIED, why) : 0;
}

static struct rte_flow *insert(struct rte_eth_dev *dev, uint32_t queue,
			       const struct rte_flow_op_attr *attr,
			       struct rte_flow_template_table *table, uint32_t index,
			       const struct es_pattern *spec, const struct rte_flow_action actions[],
			       uint8_t template, void *user_data, struct rte_flow_error *error)
{
	struct es_actions list = {0};
	const char *why = "insert: no memory";
	struct rte_flow *flow;
	struct es_op *op;
	int64_t id;
	int rc;

	if (table->port != port_of(dev) || template >= table->n_actions) {
		REFUSE(-EINVAL, UNSPECIFIED, "insert: a table or a template of another");
		return NULL;
	}
	rc = es_actions(port_of(dev), actions, NULL, &list);
	if (rc < 0) {
		REFUSE(rc, ACTION_CONF, "insert: an action that mlx5 does not take");
		return NULL;
	}
	op = es_admit(dev, queue, ES_INSERT, user_data, error);
	if (op == NULL)
		return NULL;
	flow = calloc(1, sizeof(*flow));
	id = flow == NULL ? -ENOMEM :
			    evenpath_sim_insert(table->port->id, queue, table->id, index, spec, &list,
						template, op, &why);
	if (id < 0) {
		free(flow);
		free(op);
		REFUSE(id, UNSPECIFIED, why);
		return NULL;
	}
	*flow = (struct rte_flow){.table = table, .id = id, .busy = true, .queue = queue};
	op->flow = flow;
	table->rules++;
	table->port->rules++;
	es_taken(dev, queue, attr, error);
	return flow;
}

static struct rte_flow *async_create(struct rte_eth_dev *dev, uint32_t queue,
				     const struct rte_flow_op_attr *attr,
				     struct rte_flow_template_table *table,
				     const struct rte_flow_item items[], uint8_t pattern,
				     const struct rte_flow_action actions[], uint8_t template,
				     void *user_data, struct rte_flow_error *error)
{
	struct es_pattern spec = {0};
	int rc;

	if (table->by_index || pattern != 0) {
		REFUSE(-EINVAL, UNSPECIFIED, "insert: by pattern into a table by index");
		return NULL;
	}
	rc = es_pattern_rule(&table->pattern->pattern, items, &spec);
	if (rc < 0) {
		REFUSE(rc, ITEM_SPEC, "insert: values that are not the template's");
		return NULL;
	}
	return insert(dev, queue, attr, table, 0, &spec, actions, template, user_data, error);
}

static struct rte_flow *async_create_by_index(struct rte_eth_dev *dev, uint32_t queue,
					      const struct rte_flow_op_attr *attr,
					      struct rte_flow_template_table *table, uint32_t index,
					      const struct rte_flow_action actions[],
					      uint8_t template, void *user_data,
					      struct rte_flow_error *error)
{
	if (!table->by_index || index >= table->size) {
		REFUSE(-EINVAL, UNSPECIFIED, "insert: by an index that the table does not have");
		return NULL;
	}
	return insert(dev, queue, attr, table, index, NULL, actions, template, user_data, error);
}

/* A rule that may have an operation on this queue. */
static int claim(struct rte_eth_dev *dev, const struct rte_flow *flow, uint32_t queue,
		 struct rte_flow_error *error)
{
	if (flow->table == NULL || flow->table->port != port_of(dev) || flow->queue != queue)
		return REFUSE(-EINVAL, HANDLE, "a rule of another port or queue");
	if (flow->busy)
		return REFUSE(-EINVAL, HANDLE, "a rule with an operation under way");
	return 0;
}

static int async_update(struct rte_eth_dev *dev, uint32_t queue,
			const struct rte_flow_op_attr *attr, struct rte_flow *flow,
			const struct rte_flow_action actions[], uint8_t template, void *user_data,
			struct rte_flow_error *error)
{
	struct es_actions list = {0};
	const char *why = NULL;
	struct es_op *op;
	int rc = claim(dev, flow, queue, error);

	if (rc < 0)
		return rc;
	if (flow->failed || template >= flow->table->n_actions)
		return REFUSE(-EINVAL, HANDLE, "update: of a failed rule, or by no template");
	if (flow->broken)
		return REFUSE(-EBUSY, UNSPECIFIED, "update: the rule's last one failed");
	rc = es_actions(port_of(dev), actions, NULL, &list);
	if (rc < 0)
		return REFUSE(rc, ACTION_CONF, "update: an action that mlx5 does not take");
	op = es_admit(dev, queue, ES_UPDATE, user_data, error);
	if (op == NULL)
		return -rte_errno;
	op->flow = flow;
	rc = evenpath_sim_update(flow->table->port->id, queue, flow->id, &list, template, op, &why);
	if (rc < 0) {
		free(op);
		return REFUSE(rc, UNSPECIFIED, why);
	}
	flow->busy = true;
	return es_taken(dev, queue, attr, error);
}

static int async_destroy(struct rte_eth_dev *dev, uint32_t queue,
			 const struct rte_flow_op_attr *attr, struct rte_flow *flow,
			 void *user_data, struct rte_flow_error *error)
{
	const char *why = NULL;
	struct es_op *op;
	int rc = claim(dev, flow, queue, error);

	if (rc < 0)
		return rc;
	op = es_admit(dev, queue, ES_DESTROY, user_data, error);
	if (op == NULL)
		return -rte_errno;
	op->flow = flow;
	rc = evenpath_sim_destroy(flow->table->port->id, queue, flow->id, op, &why);
	if (rc < 0) {
		free(op);
		return REFUSE(rc, UNSPECIFIED, why);
	}
	flow->busy = true;
	return es_taken(dev, queue, attr, error);
}

static int push(struct rte_eth_dev *dev, uint32_t queue, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	const char *why = NULL;
	int rc;

	if (!dev->data->dev_started || queue >= port->n_queues)
		return REFUSE(-EINVAL, STATE, "push: not started, or no such queue");
	rc = evenpath_sim_push(port->id, queue, &why);
	return rc < 0 ? REFUSE(rc, UNSPECIFIED, why) : 0;
}

#define PULL 64

/* The operation was completed. */
static void complete(struct es_port *port, const struct es_op *op, bool done)
{
	if (op->handle != NULL) {
		op->handle->busy = false;
		op->handle->failed |= op->kind == ES_SHARE && !done;
		if (op->kind == ES_UNSHARE) {
			port->handles--;
			free(op->handle);
		}
		return;
	}
	op->flow->busy = false;
	op->flow->failed |= op->kind == ES_INSERT && !done;
	op->flow->broken |= op->kind == ES_UPDATE && !done;
	/* Whatever became of it, as mlx5's hw_cmpl_flow_update_or_destroy. */
	if (op->kind == ES_DESTROY) {
		op->flow->table->rules--;
		port->rules--;
		free(op->flow);
	}
}

static int pull(struct rte_eth_dev *dev, uint32_t queue, struct rte_flow_op_result results[],
		uint16_t n, struct rte_flow_error *error)
{
	struct es_port *port = port_of(dev);
	struct es_result done[PULL];
	const char *why = NULL;
	int count;

	if (!dev->data->dev_started || queue >= port->n_queues)
		return REFUSE(-EINVAL, STATE, "pull: not started, or no such queue");
	count = evenpath_sim_pull(port->id, queue, done, RTE_MIN(n, PULL), &why);
	if (count < 0)
		return REFUSE(count, UNSPECIFIED, why);
	for (int i = 0; i < count; i++) {
		struct es_op *op = done[i].cookie;

		results[i].status = done[i].done ? RTE_FLOW_OP_SUCCESS : RTE_FLOW_OP_ERROR;
		results[i].user_data = op->user_data;
		complete(port, op, done[i].done);
		free(op);
		port->queues[queue].used--;
	}
	return count;
}

void es_flow_init(void)
{
	es_classic_init(&es_flow_ops);
	/* What is not here says ENOSYS. */
	es_fp_ops = rte_flow_fp_default_ops;
	es_fp_ops.async_create = async_create;
	es_fp_ops.async_create_by_index = async_create_by_index;
	es_fp_ops.async_actions_update = async_update;
	es_fp_ops.async_destroy = async_destroy;
	es_fp_ops.async_action_handle_create = es_indirect_create;
	es_fp_ops.async_action_handle_update = es_indirect_update;
	es_fp_ops.async_action_handle_destroy = es_indirect_destroy;
	es_fp_ops.push = push;
	es_fp_ops.pull = pull;
}
