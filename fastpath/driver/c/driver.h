/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENPATH_SIM_DRIVER_H
#define EVENPATH_SIM_DRIVER_H

#include <rte_ether.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_ring.h>
#include <rte_version.h>

#include <ethdev_driver.h>
#include <rte_flow_driver.h>

#include "sim.h"

/* The headers in dpdk/ are this release's; they promise nothing for another. */
#if RTE_VERSION < RTE_VERSION_NUM(24, 11, 0, 0) || RTE_VERSION >= RTE_VERSION_NUM(25, 3, 0, 0)
#error "net_evenpath_sim is for DPDK 24.11"
#endif

#define ES_MAX_QUEUES 4

/* A flow queue. */
struct es_queue {
	/* Operations that it holds, and how many it can. */
	uint32_t used, size;
};

/* One receive queue of software. */
struct es_rx {
	struct es_port *port;
	struct rte_ring *waiting;
	uint64_t packets, bytes;
};

struct es_port {
	uint16_t id;
	/* This end is the wire's: no e-switch. */
	bool is_wire;
	bool function;
	bool isolated;
	/* The flow engine was configured; so are its queues. */
	bool configured;
	struct rte_ether_addr address;
	/* From the wire and to it; of a wire's end those of the port at the other. */
	struct rte_ring *in, *out;
	struct es_queue queues[ES_MAX_QUEUES];
	uint16_t n_queues;
	/* Handles that applications have. */
	uint32_t patterns, templates, tables, rules;
	struct es_rx rx[ES_MAX_QUEUES];
	uint64_t tx_packets, tx_bytes;
	/* By rules, or for want of room. */
	uint64_t lost;
};

extern const struct rte_flow_ops es_flow_ops;
/* Fills the entry points that rte_flow_configure gives a port. */
void es_flow_init(void);
/* The port stops: says so when an application left anything in it. */
void es_flow_leave(struct rte_eth_dev *dev);

int es_pattern_template(const struct rte_flow_item *items, struct es_pattern *out);
int es_pattern_rule(const struct es_pattern *template, const struct rte_flow_item *items,
		    struct es_pattern *out);
/* With masks: a template's. */
int es_actions(const struct rte_flow_action *from, const struct rte_flow_action *masks,
	       struct es_actions *out);

#endif
