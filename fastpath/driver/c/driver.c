/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_evenpath_sim: ports of a simulated NIC, whose e-switch forwards by the rules that rte_flow put
 * there. net_evenpath_wire: the other end of a port's wire, or the host's side of a function; what is
 * sent there the NIC receives, and the other way round.
 *
 *   --vdev net_evenpath_sim0,profile=bf3,function=1,late=7   --vdev net_evenpath_wire0,of=net_evenpath_sim0
 *
 * Or the other end is a netdev:
 *
 *   --vdev net_evenpath_sim0,iface=eth1
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

static int dev_configure(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;

	port->settled = true;
	return 0;
}

static int dev_start(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;
	int rc;

	dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
	/* From here on packets are taken, so the thread of a netdev finds it so. */
	es_ports_start(port, true);
	if (port->netdev.fd >= 0) {
		rc = es_netdev_start(dev);
		if (rc < 0) {
			es_ports_start(port, false);
			return rc;
		}
	}
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
		if (!port->rx_hairpins[i].set)
			dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	}
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
		if (!port->tx_hairpins[i].set)
			dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	}
	return 0;
}

static int dev_stop(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;

	if (port->netdev.fd >= 0)
		es_netdev_stop(dev);
	es_hairpin_leave(port);
	es_ports_start(port, false);
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	es_flow_leave(dev);
	return 0;
}

static int dev_close(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;
	struct rte_mbuf *mbuf;

	/* Of the port's own record, which goes with it: ethdev would free it by itself. */
	dev->data->mac_addrs = NULL;
	if (port->is_wire)
		return 0;
	es_ports_remove(port);
	evenpath_sim_detach(port->id);
	es_netdev_close(&port->netdev);
	es_beside_close(port);
	for (int i = 0; i < ES_MAX_QUEUES + 2; i++) {
		struct rte_ring **ring = i < ES_MAX_QUEUES ? &port->rx[i].waiting :
				i == ES_MAX_QUEUES ? &port->out : &port->kernel;

		while (*ring != NULL && rte_ring_dequeue(*ring, (void **)&mbuf) == 0)
			rte_pktmbuf_free(mbuf);
		rte_ring_free(*ring);
		*ring = NULL;
	}
	return 0;
}

static int dev_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	struct es_port *port = dev->data->dev_private;
	bool hairpins = !port->is_wire && !port->switchdev;

	info->max_mac_addrs = 1;
	info->max_rx_pktlen = UINT32_MAX;
	info->max_rx_queues = hairpins ? ES_ALL_QUEUES : ES_MAX_QUEUES;
	info->max_tx_queues = info->max_rx_queues;
	if (!port->is_wire)
		info->reta_size = evenpath_sim_rss_rows();
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
	if (queue >= ES_MAX_QUEUES)
		return -EINVAL;
	rx = &port->rx[queue];
	rx->port = port;
	rx->pool = pool;
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
	struct es_port *port = dev->data->dev_private;

	RTE_SET_USED(wait);
	if (port->netdev.fd >= 0 && port->started)
		es_netdev_link(dev);
	return 0;
}

static int mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	struct es_port *port = dev->data->dev_private;

	return port->netdev.fd >= 0 ? es_netdev_set_mtu(&port->netdev, mtu) : 0;
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
	stats->imissed = port->missed;
	stats->oerrors = port->tx_lost;
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
	.mtu_set = mtu_set,
	.stats_get = stats_get,
	.promiscuous_enable = promiscuous,
	.promiscuous_disable = promiscuous,
	.allmulticast_enable = promiscuous,
	.allmulticast_disable = promiscuous,
	.flow_ops_get = flow_ops_get,
	.hairpin_cap_get = es_hairpin_capability,
	.rx_hairpin_queue_setup = es_hairpin_rx_setup,
	.tx_hairpin_queue_setup = es_hairpin_tx_setup,
	.hairpin_get_peer_ports = es_hairpin_peers,
	.hairpin_bind = es_hairpin_bind,
	.hairpin_unbind = es_hairpin_unbind,
};

#define MAX_FAULTS 32

struct arguments {
	char profile[16];
	char of[RTE_ETH_NAME_MAX_LEN];
	char iface[16], beside[16];
	bool function, kernel;
	bool nic;
	/* What goes wrong, which the NIC is told when it is there. */
	struct {
		char key[16], value[128];
	} faults[MAX_FAULTS];
	uint32_t n_faults;
};

static int argument(const char *key, const char *value, void *opaque)
{
	struct arguments *to = opaque;

	if (strcmp(key, "profile") == 0)
		return rte_strscpy(to->profile, value, sizeof(to->profile)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "of") == 0)
		return rte_strscpy(to->of, value, sizeof(to->of)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "iface") == 0)
		return rte_strscpy(to->iface, value, sizeof(to->iface)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "beside") == 0)
		return rte_strscpy(to->beside, value, sizeof(to->beside)) < 0 ? -EINVAL : 0;
	if (strcmp(key, "mode") == 0) {
		to->nic = strcmp(value, "nic") == 0;
		return to->nic || strcmp(value, "switchdev") == 0 ? 0 : -EINVAL;
	}
	if (strcmp(key, "kernel") == 0) {
		to->kernel = value[0] == '1';
		return 0;
	}
	if (strcmp(key, "function") == 0) {
		to->function = value[0] == '1';
		return 0;
	}
	if (to->n_faults == MAX_FAULTS ||
	    rte_strscpy(to->faults[to->n_faults].key, key, sizeof(to->faults[0].key)) < 0 ||
	    rte_strscpy(to->faults[to->n_faults].value, value, sizeof(to->faults[0].value)) < 0)
		return -EINVAL;
	to->n_faults++;
	return 0;
}

static int arguments(struct rte_vdev_device *dev, struct arguments *to)
{
	static const char *const keys[] = {"profile", "mode", "of", "iface", "beside", "function", "kernel", "late", "refuse",
					   "miss", "busy", "table", "hold", "hash", "index-bug", "faults",
					   "rules", "no-mark", NULL};
	struct rte_kvargs *list = rte_kvargs_parse(rte_vdev_device_args(dev), keys);
	int rc;

	if (list == NULL)
		return -EINVAL;
	rc = rte_kvargs_process(list, NULL, argument, to);
	rte_kvargs_free(list);
	return rc;
}

/* The NIC's side: in its e-switch, and its wire. */
static int make_near(struct rte_eth_dev *dev, const struct arguments *from)
{
	struct es_port *port = dev->data->dev_private;
	char name[RTE_RING_NAMESIZE];
	const char *why = "";
	int rc;

	if (from->iface[0] != '\0') {
		rc = es_netdev_open(dev, from->iface);
		if (rc == 0 && from->beside[0] != '\0') {
			rc = es_beside_open(port, from->beside);
			if (rc < 0)
				es_netdev_close(&port->netdev);
		}
		if (rc < 0)
			return rc;
	} else {
		snprintf(name, sizeof(name), "es_out_%u", port->id);
		port->out = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
		if (port->out == NULL)
			return -rte_errno;
	}
	rc = evenpath_sim_attach(port->id, from->profile, !from->nic, from->function, &why);
	for (uint32_t i = 0; rc == 0 && i < from->n_faults; i++) {
		rc = evenpath_sim_fault(from->faults[i].key, from->faults[i].value, &why);
		if (rc < 0)
			evenpath_sim_detach(port->id);
	}
	if (rc < 0) {
		rte_log(RTE_LOG_ERR, es_logtype, "evenpath_sim: profile %s: %s\n", from->profile, why);
		rte_ring_free(port->out);
		es_netdev_close(&port->netdev);
		es_beside_close(port);
		return rc;
	}
	es_ports_add(port);
	return 0;
}

/* The other end of its wire, or the kernel beside it. */
static int make_far(struct es_port *port, const struct arguments *from)
{
	struct es_port *near = es_port_of(port->of);
	char name[RTE_RING_NAMESIZE];

	port->is_kernel = from->kernel;
	if (!from->kernel)
		return 0;
	if (near == NULL || near->kernel != NULL)
		return -EEXIST;
	snprintf(name, sizeof(name), "es_kernel_%u", port->of);
	near->kernel = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
	return near->kernel == NULL ? -rte_errno : 0;
}

static int make(struct rte_vdev_device *vdev, const struct arguments *from, bool is_wire, uint16_t of)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct es_port));
	struct es_port *port;
	int rc;

	if (dev == NULL)
		return -ENOMEM;
	port = dev->data->dev_private;
	port->id = dev->data->port_id;
	port->is_wire = is_wire;
	port->of = of;
	port->switchdev = !from->nic;
	port->function = from->function;
	port->beside = -1;
	port->netdev = (struct es_netdev){.fd = -1, .links = -1, .stop = -1};
	port->address.addr_bytes[0] = 2;
	port->address.addr_bytes[4] = is_wire;
	port->address.addr_bytes[5] = port->id;
	rc = is_wire ? make_far(port, from) : make_near(dev, from);
	if (rc < 0) {
		rte_eth_dev_release_port(dev);
		return rc;
	}
	dev->data->mac_addrs = &port->address;
	dev->data->dev_link = (struct rte_eth_link){
		.link_speed = RTE_ETH_SPEED_NUM_100G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
	};
	dev->dev_ops = &dev_ops;
	dev->rx_pkt_burst = is_wire ? es_wire_rx : es_sim_rx;
	dev->tx_pkt_burst = is_wire ? es_wire_tx : es_sim_tx;
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int sim_probe(struct rte_vdev_device *vdev)
{
	struct arguments from = {.profile = "bf3"};

	if (arguments(vdev, &from) < 0)
		return -EINVAL;
	es_flow_init();
	return make(vdev, &from, false, 0);
}

static int wire_probe(struct rte_vdev_device *vdev)
{
	struct arguments from = {0};
	uint16_t of;

	if (arguments(vdev, &from) < 0 || rte_eth_dev_get_port_by_name(from.of, &of) < 0)
		return -EINVAL;
	return es_port_of(of) != NULL ? make(vdev, &from, true, of) : -EINVAL;
}

static int remove_port(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0;
	dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver sim = {.probe = sim_probe, .remove = remove_port};
static struct rte_vdev_driver wire = {.probe = wire_probe, .remove = remove_port};

RTE_PMD_REGISTER_VDEV(net_evenpath_sim, sim);
RTE_PMD_REGISTER_PARAM_STRING(net_evenpath_sim,
			      "profile=cx6dx|cx7|bf3 mode=switchdev|nic iface=<netdev> beside=<netdev> function=0|1 late=N refuse=N busy=N miss=N table=N "
			      "hold=1 hash=other index-bug=1 faults=<file> rules=N no-mark=1");
RTE_PMD_REGISTER_VDEV(net_evenpath_wire, wire);
RTE_PMD_REGISTER_PARAM_STRING(net_evenpath_wire, "of=<device> kernel=0|1");
