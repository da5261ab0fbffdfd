/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netdev in the place of a wire's far end, or of a function's: a raw socket, a thread that takes in
 * what comes there, and the netdev's carrier as the port's.
 */
#ifndef EVENPATH_SIM_NETDEV_H
#define EVENPATH_SIM_NETDEV_H

#include <rte_interrupts.h>
#include <rte_mbuf.h>
#include <rte_thread.h>

struct rte_eth_dev;

struct es_netdev {
	char name[16];
	int index;
	/* The raw socket; messages about links; what ends the thread. */
	int fd, links, stop;
	struct rte_intr_handle *handle;
	rte_thread_t thread;
	bool running;
	/* The last carrier that was told. */
	bool told;
	/* What the kernel did there before. */
	bool had_arp, had_ipv6;
	/* Said once, counted always. */
	bool refused_long, refused_gso;
};

/* Opens its sockets; its MTU, and an address for the port that is not the kernel's. */
int es_netdev_open(struct rte_eth_dev *dev, const char *name);
void es_netdev_close(struct es_netdev *netdev);
int es_netdev_start(struct rte_eth_dev *dev);
void es_netdev_stop(struct rte_eth_dev *dev);
int es_netdev_set_mtu(const struct es_netdev *netdev, uint16_t mtu);
/* Reads the carrier into the port's link. */
void es_netdev_link(struct rte_eth_dev *dev);
/* Sends one frame; whether the kernel took it. */
bool es_netdev_send(const struct es_netdev *netdev, const void *frame, uint32_t length);
bool es_netdev_send_mbuf(const struct es_netdev *netdev, const struct rte_mbuf *mbuf);

#endif
