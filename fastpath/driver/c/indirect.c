/* SPDX-License-Identifier: Apache-2.0 */
/* Indirect actions: of those of mlx5 that can be changed, RSS alone leads anywhere (mlx5_flow_hw.c:12571). */
#include <errno.h>
#include <stdlib.h>

#include "flow.h"

struct rte_flow_action_handle *
es_indirect_create(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
      const struct rte_flow_indir_action_conf *conf, const struct rte_flow_action *action,
      void *user_data, struct rte_flow_error *error)
{
	const struct rte_flow_action one[] = {*action, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct es_port *port = port_of(dev);
	struct rte_flow_action_handle *handle;
	struct es_actions list = {0};
	const char *why = "indirect action: no memory";
	struct es_op *op;
	int64_t id;
	int rc;

	if (action->type != RTE_FLOW_ACTION_TYPE_RSS || !conf->ingress || conf->egress ||
	    conf->transfer) {
		REFUSE(-ENOTSUP, ACTION, "indirect action: not RSS of the ingress domain");
		return NULL;
	}
	rc = es_actions(port, one, NULL, &list);
	if (rc < 0) {
		REFUSE(rc, ACTION_CONF, "indirect action: RSS that mlx5 does not take");
		return NULL;
	}
	op = es_admit(dev, queue, ES_SHARE, user_data, error);
	if (op == NULL)
		return NULL;
	handle = calloc(1, sizeof(*handle));
	id = handle == NULL ? -ENOMEM :
			      evenpath_sim_share(port->id, queue, 0, &list, op, &why);
	if (id < 0) {
		free(handle);
		free(op);
		REFUSE(id, UNSPECIFIED, why);
		return NULL;
	}
	*handle = (struct rte_flow_action_handle){
		.port = port, .id = id, .busy = true, .queue = queue};
	op->handle = handle;
	port->handles++;
	es_taken(dev, queue, attr, error);
	return handle;
}

/* A handle that may have an operation on this queue. */
static int claim_handle(struct rte_eth_dev *dev, const struct rte_flow_action_handle *handle,
			uint32_t queue, struct rte_flow_error *error)
{
	if (handle->port != port_of(dev) || handle->queue != queue)
		return REFUSE(-EINVAL, HANDLE, "an indirect action of another port or queue");
	if (handle->busy)
		return REFUSE(-EINVAL, HANDLE, "an indirect action with an operation under way");
	return 0;
}

int es_indirect_update(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
		   struct rte_flow_action_handle *handle, const void *update, void *user_data,
		   struct rte_flow_error *error)
{
	const struct rte_flow_action *action = update;
	const struct rte_flow_action one[] = {*action, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct es_actions list = {0};
	const char *why = NULL;
	struct es_op *op;
	int rc = claim_handle(dev, handle, queue, error);

	if (rc < 0)
		return rc;
	if (handle->failed || action->type != RTE_FLOW_ACTION_TYPE_RSS)
		return REFUSE(-EINVAL, HANDLE, "indirect action: of a failed one, or not RSS");
	rc = es_actions(port_of(dev), one, NULL, &list);
	if (rc < 0)
		return REFUSE(rc, ACTION_CONF, "indirect action: RSS that mlx5 does not take");
	op = es_admit(dev, queue, ES_RESHARE, user_data, error);
	if (op == NULL)
		return -rte_errno;
	op->handle = handle;
	rc = evenpath_sim_reshare(handle->port->id, queue, handle->id, &list, op, &why);
	if (rc < 0) {
		free(op);
		return REFUSE(rc, UNSPECIFIED, why);
	}
	handle->busy = true;
	return es_taken(dev, queue, attr, error);
}

int es_indirect_destroy(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
		   struct rte_flow_action_handle *handle, void *user_data,
		   struct rte_flow_error *error)
{
	const char *why = NULL;
	struct es_op *op;
	int rc = claim_handle(dev, handle, queue, error);

	if (rc < 0)
		return rc;
	op = es_admit(dev, queue, ES_UNSHARE, user_data, error);
	if (op == NULL)
		return -rte_errno;
	op->handle = handle;
	rc = evenpath_sim_unshare(handle->port->id, queue, handle->id, op, &why);
	if (rc < 0) {
		free(op);
		return REFUSE(rc, UNSPECIFIED, why);
	}
	handle->busy = true;
	return es_taken(dev, queue, attr, error);
}
