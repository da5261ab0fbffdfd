/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hairpin queues, as mlx5 has them in NIC mode: one peer each, two ports bound by hand and with egress
 * rules of the application's own, both started before (mlx5_rxq.c:970, mlx5_trigger.c:725).
 */
#include <errno.h>

#include <rte_log.h>

#include "driver.h"

static int refuse(const struct es_port *port, uint16_t queue, int rc, const char *why)
{
	rte_log(RTE_LOG_ERR, es_logtype, "evenpath_sim: port %u: hairpin queue %u: %s\n", port->id,
		queue, why);
	return rc;
}

int es_hairpin_capability(struct rte_eth_dev *dev, struct rte_eth_hairpin_cap *cap)
{
	struct es_port *port = dev->data->dev_private;

	if (port->is_wire || port->switchdev)
		return -ENOTSUP;
	*cap = (struct rte_eth_hairpin_cap){
		.max_nb_queues = UINT16_MAX,
		.max_rx_2_tx = 1,
		.max_tx_2_rx = 1,
		.max_nb_desc = 8192,
	};
	return 0;
}

static int setup(struct rte_eth_dev *dev, uint16_t queue, const struct rte_eth_hairpin_conf *conf,
		 struct es_hairpin *all)
{
	struct es_port *port = dev->data->dev_private;
	const struct rte_eth_hairpin_peer *peer = &conf->peers[0];

	if (dev->data->dev_started)
		return refuse(port, queue, -EBUSY, "set up: the port is started");
	if (queue >= ES_ALL_QUEUES || conf->peer_count != 1 || peer->queue >= ES_ALL_QUEUES)
		return refuse(port, queue, -EINVAL, "set up: no such queue, or not one peer");
	if (peer->port != port->id && (!conf->manual_bind || !conf->tx_explicit))
		return refuse(port, queue, -EINVAL,
			      "set up: to another port by hand and with rules of its own only");
	all[queue] = (struct es_hairpin){
		.set = true,
		.manual = conf->manual_bind,
		.explicit = conf->tx_explicit,
		.port = peer->port,
		.queue = peer->queue,
	};
	return 0;
}

int es_hairpin_rx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n,
			const struct rte_eth_hairpin_conf *conf)
{
	struct es_port *port = dev->data->dev_private;
	int rc = setup(dev, queue, conf, port->rx_hairpins);

	RTE_SET_USED(n);
	if (rc == 0)
		dev->data->rx_queues[queue] = &port->rx_hairpins[queue];
	return rc;
}

int es_hairpin_tx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n,
			const struct rte_eth_hairpin_conf *conf)
{
	struct es_port *port = dev->data->dev_private;
	int rc = setup(dev, queue, conf, port->tx_hairpins);

	RTE_SET_USED(n);
	if (rc == 0)
		dev->data->tx_queues[queue] = &port->tx_hairpins[queue];
	return rc;
}

/* The other end of a sending queue, if both ends agree. */
static struct es_hairpin *other(const struct es_port *port, uint16_t queue, struct es_port *rx)
{
	const struct es_hairpin *tx = &port->tx_hairpins[queue];
	struct es_hairpin *to = &rx->rx_hairpins[tx->queue];

	if (!to->set || to->port != port->id || to->queue != queue || to->manual != tx->manual ||
	    to->explicit != tx->explicit)
		return NULL;
	return to;
}

/* testpmd stops no port that cannot say this. */
int es_hairpin_peers(struct rte_eth_dev *dev, uint16_t *peers, size_t n, uint32_t sends)
{
	struct es_port *port = dev->data->dev_private;
	const struct es_hairpin *all = sends != 0 ? port->tx_hairpins : port->rx_hairpins;
	bool seen[RTE_MAX_ETHPORTS] = {false};
	size_t count = 0;

	for (uint16_t i = 0; i < ES_ALL_QUEUES; i++) {
		uint16_t peer = all[i].port;

		if (!all[i].set || peer >= RTE_MAX_ETHPORTS || seen[peer])
			continue;
		if (count == n)
			return refuse(port, i, -E2BIG, "peers: more than there is room for");
		seen[peer] = true;
		peers[count++] = peer;
	}
	return count;
}

/* With each port that it has queues to, which RTE_MAX_ETHPORTS stands for. */
static int each(struct rte_eth_dev *dev, int (*act)(struct rte_eth_dev *, uint16_t))
{
	uint16_t peers[RTE_MAX_ETHPORTS];
	int n = es_hairpin_peers(dev, peers, RTE_DIM(peers), 1), rc = 0;

	for (int i = 0; rc == 0 && i < n; i++)
		rc = act(dev, peers[i]);
	return n < 0 ? n : rc;
}

int es_hairpin_bind(struct rte_eth_dev *dev, uint16_t rx_port)
{
	struct es_port *port = dev->data->dev_private, *rx;

	if (rx_port == RTE_MAX_ETHPORTS)
		return each(dev, es_hairpin_bind);
	rx = es_port_of(rx_port);
	if (rx == NULL)
		return refuse(port, 0, -ENODEV, "bind: the other port is of another driver");
	if (!rx->started)
		return refuse(port, 0, -EBUSY, "bind: the other port is not started");
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
		const struct es_hairpin *tx = &port->tx_hairpins[i];

		if (!tx->set || tx->port != rx_port)
			continue;
		if (other(port, i, rx) == NULL)
			return refuse(port, i, -EINVAL, "bind: the other end is set up otherwise");
	}
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
		struct es_hairpin *tx = &port->tx_hairpins[i];

		/* Once more is no mistake (mlx5_hairpin_queue_peer_bind). */
		if (!tx->set || tx->port != rx_port || tx->bound)
			continue;
		tx->bound = true;
		other(port, i, rx)->bound = true;
		evenpath_sim_hairpin(rx_port, tx->queue, port->id, i);
	}
	return 0;
}

static void loose(struct es_port *port, uint16_t queue)
{
	struct es_hairpin *tx = &port->tx_hairpins[queue];
	struct es_port *rx = es_port_of(tx->port);

	if (!tx->bound)
		return;
	tx->bound = false;
	if (rx != NULL)
		rx->rx_hairpins[tx->queue].bound = false;
	evenpath_sim_hairpin(tx->port, tx->queue, UINT32_MAX, 0);
}

int es_hairpin_unbind(struct rte_eth_dev *dev, uint16_t rx_port)
{
	struct es_port *port = dev->data->dev_private;

	if (rx_port == RTE_MAX_ETHPORTS)
		return each(dev, es_hairpin_unbind);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
		if (port->tx_hairpins[i].set && port->tx_hairpins[i].port == rx_port)
			loose(port, i);
	}
	return 0;
}

void es_hairpin_leave(struct es_port *port)
{
	uint32_t bound = 0;

	for (uint16_t i = 0; i < ES_ALL_QUEUES; i++) {
		struct es_hairpin *rx = &port->rx_hairpins[i];
		struct es_port *tx = rx->bound ? es_port_of(rx->port) : NULL;

		bound += rx->bound + port->tx_hairpins[i].bound;
		loose(port, i);
		if (tx != NULL)
			loose(tx, rx->queue);
	}
	if (bound != 0)
		rte_log(RTE_LOG_ERR, es_logtype,
			"evenpath_sim: port %u: stop: %u hairpin queues are still bound\n", port->id,
			bound);
}
