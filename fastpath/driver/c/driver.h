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

#include "netdev.h"
#include "sim.h"

/* The headers in dpdk/ are this release's; they promise nothing for another. */
#if RTE_VERSION < RTE_VERSION_NUM(24, 11, 0, 0) || RTE_VERSION >= RTE_VERSION_NUM(25, 3, 0, 0)
#error "net_evenpath_sim is for DPDK 24.11"
#endif

/* Queues of software, and flow queues. */
#define ES_MAX_QUEUES 4
/* All queues, those of hairpins included. */
#define ES_ALL_QUEUES 512

/* A flow queue. */
struct es_queue {
	/* Operations that it holds, and how many it can. */
	uint32_t used, size;
};

/* One receive queue of software. */
struct es_rx {
	struct es_port *port;
	struct rte_ring *waiting;
	struct rte_mempool *pool;
	uint64_t packets, bytes;
};

/* One end of a hairpin: the other's port and queue. */
struct es_hairpin {
	bool set, bound, manual, explicit;
	uint16_t port, queue;
};

struct es_port {
	uint16_t id;
	/* This end is the wire's: no e-switch; of which port. */
	bool is_wire;
	/* The kernel's side of that port: what it gets in isolated mode. */
	bool is_kernel;
	uint16_t of;
	bool switchdev;
	bool function;
	bool isolated;
	/* The port was configured; its flow engine was, and so are its queues. */
	bool settled, configured;
	bool started;
	struct rte_ether_addr address;
	/* What leaves: to the wire's other end, or, when that is a netdev, there. */
	struct rte_ring *out;
	/* To the kernel, where somebody stands for it. */
	struct rte_ring *kernel;
	/* The same where it is a real one: a socket, or -1. */
	int beside;
	struct es_netdev netdev;
	struct es_queue queues[ES_MAX_QUEUES];
	uint16_t n_queues;
	/* Handles that applications have. */
	uint32_t patterns, templates, tables, rules, handles;
	/* Rules of the first API. */
	struct rte_flow *classic;
	struct es_hairpin rx_hairpins[ES_ALL_QUEUES], tx_hairpins[ES_ALL_QUEUES];
	struct es_rx rx[ES_MAX_QUEUES];
	uint64_t tx_packets, tx_bytes;
	/* By rules, or not frames that a wire has. */
	uint64_t lost;
	/* For want of room: for software, and for the wire. */
	uint64_t missed, tx_lost;
	/* Said once. */
	bool refused_room;
};

extern int es_logtype;

/* wire.c: what is between wires and queues. */

/* The ports that packets can go to; both wait for packets that are on their way. */
void es_ports_add(struct es_port *port);
void es_ports_remove(struct es_port *port);
void es_ports_start(struct es_port *port, bool started);
/* For those who configure, which DPDK's applications do one at a time. */
struct es_port *es_port_of(uint16_t id);
/* A frame that came by a port's wire: through the e-switch. An mbuf that has it is given away. */
void es_receive(struct es_port *port, uint8_t *frame, uint32_t length, struct rte_mbuf *mbuf);
void es_lost(struct es_port *port);
/* What the kernel beside a port sends: by the wire, as it always did. */
void es_kernel_sends(struct es_port *port, const uint8_t *frame, uint32_t length);
uint16_t es_sim_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n);
uint16_t es_sim_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n);
uint16_t es_wire_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n);
uint16_t es_wire_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/* beside.c: a real kernel beside a port; it gives the port its address. */
int es_beside_open(struct es_port *port, const char *name);
void es_beside_close(struct es_port *port);
bool es_beside_send(const struct es_port *port, const uint8_t *frame, uint32_t length);
void es_beside_take_in(struct es_port *port);

extern struct rte_flow_ops es_flow_ops;
/* Fills the entry points, those too that rte_flow_configure gives a port. */
void es_flow_init(void);
/* The port stops: says so when an application left anything in it. */
void es_flow_leave(struct rte_eth_dev *dev);

/* hairpin.c: queues that lead out again. */
int es_hairpin_capability(struct rte_eth_dev *dev, struct rte_eth_hairpin_cap *cap);
int es_hairpin_rx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n,
			const struct rte_eth_hairpin_conf *conf);
int es_hairpin_tx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n,
			const struct rte_eth_hairpin_conf *conf);
int es_hairpin_bind(struct rte_eth_dev *dev, uint16_t rx_port);
int es_hairpin_unbind(struct rte_eth_dev *dev, uint16_t rx_port);
int es_hairpin_peers(struct rte_eth_dev *dev, uint16_t *peers, size_t n, uint32_t sends);
/* The port stops: what is bound is bound no more. */
void es_hairpin_leave(struct es_port *port);

int es_pattern_template(const struct rte_flow_item *items, struct es_pattern *out);
int es_pattern_rule(const struct es_pattern *template, const struct rte_flow_item *items,
		    struct es_pattern *out);
/* With masks: a template's. */
int es_actions(const struct es_port *port, const struct rte_flow_action *from,
	       const struct rte_flow_action *masks, struct es_actions *out);

#endif
