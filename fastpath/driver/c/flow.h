/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the flow engine share: handles, and how they refuse. */
#ifndef EVENPATH_SIM_FLOW_H
#define EVENPATH_SIM_FLOW_H

#include "driver.h"

/* Handles that DPDK passes through. */
struct rte_flow_pattern_template {
	struct es_port *port;
	struct es_pattern pattern;
	uint32_t domain;
	uint32_t users;
};

struct rte_flow_actions_template {
	struct es_port *port;
	struct es_actions actions;
	uint32_t domain;
	uint32_t users;
};

struct rte_flow_template_table {
	struct es_port *port;
	uint32_t id;
	bool by_index;
	uint32_t size;
	uint32_t rules;
	struct rte_flow_pattern_template *pattern;
	struct rte_flow_actions_template *actions[ES_MAX_TEMPLATES];
	uint8_t n_actions;
};

struct rte_flow {
	/* NULL: of the first API, and its port, and the port's next. */
	struct rte_flow_template_table *table;
	struct es_port *classic;
	struct rte_flow *next;
	uint64_t id;
	/* Operations under way: at most one, and of one queue. */
	bool busy;
	/* Its insertion failed; it can only be destroyed. */
	bool failed;
	/* An update failed; it takes no other. */
	bool broken;
	uint32_t queue;
};

struct rte_flow_action_handle {
	struct es_port *port;
	uint32_t id;
	/* As of a rule. */
	bool busy, failed;
	uint32_t queue;
};

enum es_op_kind { ES_INSERT, ES_UPDATE, ES_DESTROY, ES_SHARE, ES_RESHARE, ES_UNSHARE };

struct es_op {
	enum es_op_kind kind;
	/* One of both. */
	struct rte_flow *flow;
	struct rte_flow_action_handle *handle;
	void *user_data;
};

/* A queue that has room, on a started port; the operation that will stand in it. */
struct es_op *es_admit(struct rte_eth_dev *dev, uint32_t queue, enum es_op_kind kind,
		       void *user_data, struct rte_flow_error *error);
/* The operation is the e-switch's. */
int es_taken(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
	     struct rte_flow_error *error);

struct rte_flow_action_handle *
es_indirect_create(struct rte_eth_dev *dev, uint32_t queue, const struct rte_flow_op_attr *attr,
		   const struct rte_flow_indir_action_conf *conf,
		   const struct rte_flow_action *action, void *user_data,
		   struct rte_flow_error *error);
int es_indirect_update(struct rte_eth_dev *dev, uint32_t queue,
		       const struct rte_flow_op_attr *attr, struct rte_flow_action_handle *handle,
		       const void *update, void *user_data, struct rte_flow_error *error);
int es_indirect_destroy(struct rte_eth_dev *dev, uint32_t queue,
			const struct rte_flow_op_attr *attr, struct rte_flow_action_handle *handle,
			void *user_data, struct rte_flow_error *error);

/* classic.c: the first API. */
void es_classic_init(struct rte_flow_ops *ops);
/* The port stops: its rules are gone. */
void es_classic_leave(struct es_port *port);

/* Sets the error, and says so in the log: tests fail, and people see why. */
int es_refuse(struct rte_flow_error *error, int rc, enum rte_flow_error_type type, const char *why);

#define REFUSE(rc, type, why) es_refuse(error, rc, RTE_FLOW_ERROR_TYPE_##type, why)

static inline struct es_port *port_of(struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* The entry points that a configured port has. */
extern struct rte_flow_fp_ops es_fp_ops;

#endif
