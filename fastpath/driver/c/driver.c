/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_evenpath_sim: ports of a simulated NIC, whose e-switch forwards by the rules that rte_flow put
 * there. net_evenpath_wire: the other end of a port's wire, or the host's side of a function; what is
 * sent there the NIC receives, and the other way round.
 *
 *   --vdev net_evenpath_sim0,profile=bf3,function=1,late=7   --vdev net_evenpath_wire0,of=net_evenpath_sim0
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_kvargs.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>

#include "driver.h"

#define RING 2048

static struct es_port *all[RTE_MAX_ETHPORTS];

static uint16_t to_ring(struct rte_ring *ring, struct rte_mbuf *mbuf)
{
	if (ring != NULL && rte_ring_enqueue(ring, mbuf) == 0)
		return 1;
	return 0;
}

/* One packet from the wire: through the e-switch. */
static void forward(struct es_port *port, struct rte_mbuf *mbuf)
{
	uint32_t where = 0;
	struct es_port *to;

	/* The simulated NIC has no packets in pieces. */
	if (mbuf->nb_segs != 1) {
		rte_pktmbuf_free(mbuf);
		port->lost++;
		return;
	}
	switch (evenpath_sim_receive(port->id, rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->pkt_len,
				     &where)) {
	case ES_SENT:
		to = where < RTE_MAX_ETHPORTS ? all[where] : NULL;
		if (to != NULL && to_ring(to->out, mbuf))
			return;
		port->lost++;
		break;
	case ES_SOFTWARE:
		if (where < ES_MAX_QUEUES && to_ring(port->rx[where].waiting, mbuf))
			return;
		port->lost++;
		break;
	case ES_TO_KERNEL:
		/* There is none behind this port. */
		break;
	default:
		port->lost++;
	}
	rte_pktmbuf_free(mbuf);
}

static uint16_t sim_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_rx *rx = queue;
	struct rte_mbuf *mbuf;
	uint16_t count;

	/* The NIC's work is done here: there is nobody else. */
	for (uint16_t i = 0; i < n; i++) {
		if (rte_ring_dequeue(rx->port->in, (void **)&mbuf) < 0)
			break;
		forward(rx->port, mbuf);
	}
	count = rte_ring_dequeue_burst(rx->waiting, (void **)mbufs, n, NULL);
	for (uint16_t i = 0; i < count; i++) {
		mbufs[i]->port = rx->port->id;
		rx->bytes += mbufs[i]->pkt_len;
	}
	rx->packets += count;
	return count;
}

static uint16_t wire_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_rx *rx = queue;
	uint16_t count = rte_ring_dequeue_burst(rx->port->out, (void **)mbufs, n, NULL);

	for (uint16_t i = 0; i < count; i++)
		rx->bytes += mbufs[i]->pkt_len;
	rx->packets += count;
	return count;
}

static uint16_t put_out(struct es_port *port, struct rte_ring *ring, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		uint32_t length = mbufs[i]->pkt_len;

		if (!to_ring(ring, mbufs[i]))
			break;
		port->tx_packets++;
		port->tx_bytes += length;
	}
	return i;
}

static uint16_t sim_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_port *port = queue;

	return put_out(port, port->out, mbufs, n);
}

static uint16_t wire_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_port *port = queue;

	return put_out(port, port->in, mbufs, n);
}

static int dev_configure(struct rte_eth_dev *dev)
{
	RTE_SET_USED(dev);
	return 0;
}

static int dev_start(struct rte_eth_dev *dev)
{
	dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int dev_stop(struct rte_eth_dev *dev)
{
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	es_flow_leave(dev);
	return 0;
}

static int dev_close(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;
	struct rte_mbuf *mbuf;

	if (port->is_wire)
		return 0;
	all[port->id] = NULL;
	for (int i = 0; i < ES_MAX_QUEUES + 2; i++) {
		struct rte_ring *ring = i < ES_MAX_QUEUES ? port->rx[i].waiting :
				i == ES_MAX_QUEUES ? port->in : port->out;

		while (ring != NULL && rte_ring_dequeue(ring, (void **)&mbuf) == 0)
			rte_pktmbuf_free(mbuf);
		rte_ring_free(ring);
	}
	return 0;
}

static int dev_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	RTE_SET_USED(dev);
	info->max_mac_addrs = 1;
	info->max_rx_pktlen = UINT32_MAX;
	info->max_rx_queues = ES_MAX_QUEUES;
	info->max_tx_queues = ES_MAX_QUEUES;
	info->min_rx_bufsize = 0;
	return 0;
}

static int rx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n, unsigned int socket,
		    const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct es_port *port = dev->data->dev_private;
	struct es_rx *rx;
	char name[RTE_RING_NAMESIZE];

	RTE_SET_USED(n);
	RTE_SET_USED(conf);
	RTE_SET_USED(pool);
	if (queue >= ES_MAX_QUEUES)
		return -EINVAL;
	rx = &port->rx[queue];
	rx->port = port;
	if (!port->is_wire && rx->waiting == NULL) {
		snprintf(name, sizeof(name), "es_rx_%u_%u", port->id, queue);
		rx->waiting = rte_ring_create(name, RING, socket, 0);
		if (rx->waiting == NULL)
			return -rte_errno;
	}
	dev->data->rx_queues[queue] = rx;
	return 0;
}

static int tx_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t n, unsigned int socket,
		    const struct rte_eth_txconf *conf)
{
	RTE_SET_USED(n);
	RTE_SET_USED(socket);
	RTE_SET_USED(conf);
	dev->data->tx_queues[queue] = dev->data->dev_private;
	return 0;
}

static int link_update(struct rte_eth_dev *dev, int wait)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(wait);
	return 0;
}

static int stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	struct es_port *port = dev->data->dev_private;

	for (int i = 0; i < ES_MAX_QUEUES; i++) {
		stats->ipackets += port->rx[i].packets;
		stats->ibytes += port->rx[i].bytes;
	}
	stats->opackets = port->tx_packets;
	stats->obytes = port->tx_bytes;
	stats->ierrors = port->lost;
	return 0;
}

static int promiscuous(struct rte_eth_dev *dev)
{
	RTE_SET_USED(dev);
	return 0;
}

static int flow_ops_get(struct rte_eth_dev *dev, const struct rte_flow_ops **ops)
{
	struct es_port *port = dev->data->dev_private;

	if (port->is_wire)
		return -ENOTSUP;
	*ops = &es_flow_ops;
	return 0;
}

static const struct eth_dev_ops dev_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_close = dev_close,
	.dev_infos_get = dev_info,
	.rx_queue_setup = rx_setup,
	.tx_queue_setup = tx_setup,
	.link_update = link_update,
	.stats_get = stats_get,
	.promiscuous_enable = promiscuous,
	.promiscuous_disable = promiscuous,
	.allmulticast_enable = promiscuous,
	.allmulticast_disable = promiscuous,
	.flow_ops_get = flow_ops_get,
};

struct arguments {
	char profile[16];
	char of[RTE_ETH_NAME_MAX_LEN];
	bool function;
	uint32_t late;
};

static int argument(const char *key, const char *value, void *opaque)
{
	struct arguments *to = opaque;

	if (strcmp(key, "profile") == 0)
		return rte_strscpy(to->profile, value, sizeof(to->profile)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "of") == 0)
		return rte_strscpy(to->of, value, sizeof(to->of)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "function") == 0)
		to->function = value[0] == '1';
	else
		to->late = strtoul(value, NULL, 10);
	return 0;
}

static int arguments(struct rte_vdev_device *dev, struct arguments *to)
{
	static const char *const keys[] = {"profile", "of", "function", "late", NULL};
	struct rte_kvargs *list = rte_kvargs_parse(rte_vdev_device_args(dev), keys);
	int rc;

	if (list == NULL)
		return -EINVAL;
	rc = rte_kvargs_process(list, NULL, argument, to);
	rte_kvargs_free(list);
	return rc;
}

static int make(struct rte_vdev_device *vdev, const struct arguments *from, struct es_port *other)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct es_port));
	char name[RTE_RING_NAMESIZE];
	const char *why = NULL;
	struct es_port *port;
	int rc;

	if (dev == NULL)
		return -ENOMEM;
	port = dev->data->dev_private;
	port->id = dev->data->port_id;
	port->is_wire = other != NULL;
	port->function = from->function;
	port->address.addr_bytes[0] = 2;
	port->address.addr_bytes[4] = port->is_wire;
	port->address.addr_bytes[5] = port->id;
	if (port->is_wire) {
		port->in = other->in;
		port->out = other->out;
	} else {
		rc = evenpath_sim_attach(port->id, from->profile, from->function, from->late, &why);
		if (rc < 0) {
			rte_eth_dev_release_port(dev);
			return rc;
		}
		snprintf(name, sizeof(name), "es_in_%u", port->id);
		port->in = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
		snprintf(name, sizeof(name), "es_out_%u", port->id);
		port->out = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
		if (port->in == NULL || port->out == NULL) {
			rte_ring_free(port->in);
			rte_ring_free(port->out);
			rte_eth_dev_release_port(dev);
			return -ENOMEM;
		}
		all[port->id] = port;
	}
	dev->data->mac_addrs = &port->address;
	dev->data->dev_link = (struct rte_eth_link){
		.link_speed = RTE_ETH_SPEED_NUM_100G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
	};
	dev->dev_ops = &dev_ops;
	dev->rx_pkt_burst = port->is_wire ? wire_rx : sim_rx;
	dev->tx_pkt_burst = port->is_wire ? wire_tx : sim_tx;
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int sim_probe(struct rte_vdev_device *vdev)
{
	struct arguments from = {.profile = "bf3"};

	if (arguments(vdev, &from) < 0)
		return -EINVAL;
	es_flow_init();
	return make(vdev, &from, NULL);
}

static int wire_probe(struct rte_vdev_device *vdev)
{
	struct arguments from = {0};
	uint16_t of;

	if (arguments(vdev, &from) < 0 || rte_eth_dev_get_port_by_name(from.of, &of) < 0)
		return -EINVAL;
	return all[of] == NULL ? -EINVAL : make(vdev, &from, all[of]);
}

static int remove_port(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0;
	/* Of the port's own record, which goes with it. */
	dev->data->mac_addrs = NULL;
	dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver sim = {.probe = sim_probe, .remove = remove_port};
static struct rte_vdev_driver wire = {.probe = wire_probe, .remove = remove_port};

RTE_PMD_REGISTER_VDEV(net_evenpath_sim, sim);
RTE_PMD_REGISTER_PARAM_STRING(net_evenpath_sim,
			      "profile=cx6dx|cx7|bf3 function=0|1 late=N");
RTE_PMD_REGISTER_VDEV(net_evenpath_wire, wire);
RTE_PMD_REGISTER_PARAM_STRING(net_evenpath_wire, "of=<device>");
