/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wire that ends in a netdev. A thread of the driver stands for the silicon: it takes in what comes,
 * and what the e-switch forwards leaves from here, without a queue or a worker.
 *
 * The kernel must not answer beside the port: its frames have another address than the netdev's, and
 * while the port is started the netdev has neither ARP nor IPv6.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not <net/if.h>, which has the same and does not go with it. */
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>

#include <rte_byteorder.h>
#include <rte_log.h>

#include "driver.h"

/* Frames that are taken in at a time, and the longest of them. */
#define BURST 32
#define LONGEST 16384
#define TAG_BYTES 4

#define SAY(level, ...) rte_log(RTE_LOG_##level, es_logtype, "evenpath_sim: " __VA_ARGS__)

struct slot {
	struct virtio_net_hdr header;
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	/* Room for a tag before the frame. */
	uint8_t frame[TAG_BYTES + LONGEST];
};

static struct es_netdev *netdev_of(struct rte_eth_dev *dev)
{
	struct es_port *port = dev->data->dev_private;

	return &port->netdev;
}

static int ask(const struct es_netdev *netdev, unsigned long request, struct ifreq *answer)
{
	memcpy(answer->ifr_name, netdev->name, sizeof(netdev->name));
	return ioctl(netdev->fd, request, answer) < 0 ? -errno : 0;
}

static bool carrier(const struct es_netdev *netdev)
{
	struct ifreq flags = {0};

	/* One that is gone has none. */
	return ask(netdev, SIOCGIFFLAGS, &flags) == 0 &&
	       (flags.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

void es_netdev_link(struct rte_eth_dev *dev)
{
	struct rte_eth_link link = dev->data->dev_link;

	link.link_status = carrier(netdev_of(dev)) ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
	rte_eth_linkstatus_set(dev, &link);
}

/* On DPDK's interrupt thread, as with mlx5: something about links was said. */
static void link_changed(void *opaque)
{
	struct rte_eth_dev *dev = opaque;
	struct es_netdev *netdev = netdev_of(dev);
	char message[8192];

	/* What it is about is asked anew; one that was missed (ENOBUFS) is none the worse. */
	while (recv(netdev->links, message, sizeof(message), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	es_netdev_link(dev);
	if (netdev->told == dev->data->dev_link.link_status)
		return;
	netdev->told = dev->data->dev_link.link_status;
	if (dev->data->dev_conf.intr_conf.lsc)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

/* Writes a number of one digit, and says what it was. */
static int exchange(const char *path, char to)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char was;
	bool done;

	if (fd < 0)
		return -errno;
	done = pread(fd, &was, 1, 0) == 1 && pwrite(fd, &to, 1, 0) == 1;
	close(fd);
	return done ? was : -EIO;
}

/* Neither ARP nor IPv6 of the kernel's, or as it was. */
static void quieten(struct es_netdev *netdev, bool quiet)
{
	struct ifreq flags = {0};
	char path[96];
	int was;

	if (ask(netdev, SIOCGIFFLAGS, &flags) < 0)
		return;
	if (quiet)
		netdev->had_arp = (flags.ifr_flags & IFF_NOARP) == 0;
	if (netdev->had_arp) {
		flags.ifr_flags ^= IFF_NOARP;
		if (ask(netdev, SIOCSIFFLAGS, &flags) < 0)
			SAY(WARNING, "netdev %s: the kernel may answer ARP there\n", netdev->name);
	}
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", netdev->name);
	if (quiet || netdev->had_ipv6) {
		was = exchange(path, quiet ? '1' : '0');
		netdev->had_ipv6 = quiet && was == '0';
		if (was < 0 && was != -ENOENT)
			SAY(WARNING, "netdev %s: the kernel may speak IPv6 there\n", netdev->name);
	}
}

/* RFC 1071 over what the sender left to its NIC; in the place of that NIC. */
static bool finish_checksum(uint8_t *frame, uint32_t length, uint16_t start, uint16_t offset)
{
	uint32_t sum = 0, at = start;

	if ((uint32_t)start + offset + 2 > length)
		return false;
	for (; at + 1 < length; at += 2)
		sum += frame[at] << 8 | frame[at + 1];
	if (at < length)
		sum += frame[at] << 8;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	/* 0 would be "none" for UDP (RFC 768). */
	if (sum == 0)
		sum = 0xffff;
	frame[start + offset] = sum >> 8;
	frame[start + offset + 1] = sum;
	return true;
}

/* The tag that the kernel took off, or 0. */
static uint32_t tag_of(struct msghdr *message)
{
	struct tpacket_auxdata about;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&about, CMSG_DATA(c), sizeof(about));
		if (about.tp_status & TP_STATUS_VLAN_VALID)
			return (uint32_t)((about.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ?
						  about.tp_vlan_tpid : ETH_P_8021Q) << 16 |
			       about.tp_vlan_tci;
	}
	return 0;
}

/* A frame as it was on the wire, or one that cannot have been. */
static uint8_t *whole(struct es_netdev *netdev, struct slot *slot, struct msghdr *message,
		      uint32_t *length)
{
	uint8_t *frame = slot->frame + TAG_BYTES;
	uint32_t tag;

	if (slot->header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (!netdev->refused_gso)
			SAY(ERR, "netdev %s: a packet of several segments, which no wire has, is lost, "
			    "and so are all others: its sender needs ethtool -K ... tso off gso off\n",
			    netdev->name);
		netdev->refused_gso = true;
		return NULL;
	}
	if (message->msg_flags & MSG_TRUNC || *length < ETH_HLEN) {
		if (!netdev->refused_long)
			SAY(ERR, "netdev %s: a frame of less than %d or more than %d bytes is lost, and "
			    "so are all others\n", netdev->name, ETH_HLEN, LONGEST);
		netdev->refused_long = true;
		return NULL;
	}
	if (slot->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    !finish_checksum(frame, *length, slot->header.csum_start, slot->header.csum_offset))
		return NULL;
	tag = tag_of(message);
	if (tag == 0)
		return frame;
	memmove(frame - TAG_BYTES, frame, 2 * ETH_ALEN);
	frame -= TAG_BYTES;
	tag = rte_cpu_to_be_32(tag);
	memcpy(frame + 2 * ETH_ALEN, &tag, TAG_BYTES);
	*length += TAG_BYTES;
	return frame;
}

static void take_in(struct es_port *port, struct slot *slots)
{
	struct mmsghdr messages[BURST] = {0};
	struct iovec parts[BURST][2];
	int n;

	for (int i = 0; i < BURST; i++) {
		parts[i][0] = (struct iovec){&slots[i].header, sizeof(slots[i].header)};
		parts[i][1] = (struct iovec){slots[i].frame + TAG_BYTES, LONGEST};
		messages[i].msg_hdr = (struct msghdr){
			.msg_iov = parts[i],
			.msg_iovlen = 2,
			.msg_control = slots[i].control,
			.msg_controllen = sizeof(slots[i].control),
		};
	}
	n = recvmmsg(port->netdev.fd, messages, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		uint32_t length = messages[i].msg_len - RTE_MIN(sizeof(slots[i].header),
								messages[i].msg_len);
		uint8_t *frame = whole(&port->netdev, &slots[i], &messages[i].msg_hdr, &length);

		if (frame == NULL)
			es_lost(port);
		else
			es_receive(port, frame, length, NULL);
	}
}

static uint32_t silicon(void *opaque)
{
	struct es_port *port = opaque;
	struct es_netdev *netdev = &port->netdev;
	struct pollfd wait[3] = {{.fd = netdev->stop, .events = POLLIN},
				 {.fd = netdev->fd, .events = POLLIN},
				 {.fd = port->beside, .events = POLLIN}};
	struct slot *slots = calloc(BURST, sizeof(*slots));

	if (slots == NULL) {
		SAY(ERR, "netdev %s: no memory: nothing is received\n", netdev->name);
		return 0;
	}
	/* Silicon does not wait for a turn on a core that workers poll on; where that is not allowed
	 * it does. Of this thread alone, as Linux has it. */
	setpriority(PRIO_PROCESS, 0, -20);
	for (;;) {
		if (poll(wait, RTE_DIM(wait), -1) < 0 && errno != EINTR)
			break;
		if (wait[0].revents != 0)
			break;
		take_in(port, slots);
		if (wait[2].revents != 0)
			es_beside_take_in(port);
		if (wait[1].revents & (POLLERR | POLLNVAL)) {
			int error = 0;
			socklen_t size = sizeof(error);

			/* ENETDOWN: said once by the kernel, and taken back by asking. */
			getsockopt(netdev->fd, SOL_SOCKET, SO_ERROR, &error, &size);
			if (wait[1].revents & POLLNVAL)
				break;
		}
	}
	free(slots);
	return 0;
}

bool es_netdev_send_mbuf(const struct es_netdev *netdev, const struct rte_mbuf *mbuf)
{
	struct virtio_net_hdr none = {0};
	struct iovec parts[17] = {{&none, sizeof(none)}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};

	for (; mbuf != NULL; mbuf = mbuf->next) {
		if (message.msg_iovlen == RTE_DIM(parts))
			return false;
		parts[message.msg_iovlen++] =
			(struct iovec){rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len};
	}
	return sendmsg(netdev->fd, &message, MSG_DONTWAIT) > 0;
}

bool es_netdev_send(const struct es_netdev *netdev, const void *frame, uint32_t length)
{
	struct virtio_net_hdr none = {0};
	struct iovec parts[] = {{&none, sizeof(none)}, {(void *)(uintptr_t)frame, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = RTE_DIM(parts)};

	return sendmsg(netdev->fd, &message, MSG_DONTWAIT) > 0;
}

int es_netdev_set_mtu(const struct es_netdev *netdev, uint16_t mtu)
{
	struct ifreq wanted = {.ifr_mtu = mtu};

	return ask(netdev, SIOCSIFMTU, &wanted);
}

static int option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value));
}

static int listen_to(struct es_netdev *netdev)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = rte_cpu_to_be_16(ETH_P_ALL),
		.sll_ifindex = netdev->index,
	};
	struct packet_mreq all = {.mr_ifindex = netdev->index, .mr_type = PACKET_MR_PROMISC};
	struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	if (option(netdev->fd, PACKET_IGNORE_OUTGOING, 1) < 0 ||
	    option(netdev->fd, PACKET_VNET_HDR, 1) < 0 ||
	    option(netdev->fd, PACKET_AUXDATA, 1) < 0 ||
	    bind(netdev->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(netdev->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0)
		return -errno;
	/* Of more than the usual bursts; it may be had only in part. */
	setsockopt(netdev->fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
	if (bind(netdev->links, (struct sockaddr *)&links, sizeof(links)) < 0)
		return -errno;
	return 0;
}

int es_netdev_open(struct rte_eth_dev *dev, const char *name)
{
	struct es_port *port = dev->data->dev_private;
	struct es_netdev *netdev = &port->netdev;
	struct ifreq answer = {0};
	int rc;

	rte_strscpy(netdev->name, name, sizeof(netdev->name));
	/* Of no protocol until it is bound: nothing of other netdevs comes before. */
	netdev->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	netdev->links = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	netdev->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = netdev->fd < 0 || netdev->links < 0 || netdev->stop < 0 ? -errno : 0;
	if (rc == 0)
		rc = ask(netdev, SIOCGIFINDEX, &answer);
	if (rc == 0) {
		netdev->index = answer.ifr_ifindex;
		rc = listen_to(netdev);
	}
	if (rc == 0)
		rc = ask(netdev, SIOCGIFHWADDR, &answer);
	if (rc == 0) {
		/* Local, and not the netdev's: what is for the port is not for the kernel. */
		memcpy(port->address.addr_bytes, answer.ifr_hwaddr.sa_data, ETH_ALEN);
		port->address.addr_bytes[0] = (port->address.addr_bytes[0] & ~1) ^ 4;
		port->address.addr_bytes[0] |= 2;
		rc = ask(netdev, SIOCGIFMTU, &answer);
	}
	if (rc < 0) {
		SAY(ERR, "netdev %s: open: %s\n", name, strerror(-rc));
		es_netdev_close(netdev);
		return rc;
	}
	dev->data->mtu = RTE_MIN(answer.ifr_mtu, UINT16_MAX);
	dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC;
	return 0;
}

void es_netdev_close(struct es_netdev *netdev)
{
	int *const all[] = {&netdev->fd, &netdev->links, &netdev->stop};

	for (size_t i = 0; i < RTE_DIM(all); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

int es_netdev_start(struct rte_eth_dev *dev)
{
	struct es_netdev *netdev = netdev_of(dev);
	uint8_t stale[64];
	int rc;

	quieten(netdev, true);
	/* What came before is not the port's. */
	while (recv(netdev->fd, stale, sizeof(stale), MSG_DONTWAIT) > 0)
		;
	es_netdev_link(dev);
	netdev->told = dev->data->dev_link.link_status;
	netdev->handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (netdev->handle == NULL)
		return -ENOMEM;
	rte_intr_fd_set(netdev->handle, netdev->links);
	rte_intr_type_set(netdev->handle, RTE_INTR_HANDLE_EXT);
	rc = rte_intr_callback_register(netdev->handle, link_changed, dev);
	if (rc == 0) {
		rc = rte_thread_create_control(&netdev->thread, "es-nic", silicon,
					       dev->data->dev_private);
		netdev->running = rc == 0;
		rc = rc > 0 ? -rc : rc;
	}
	if (rc != 0)
		es_netdev_stop(dev);
	return rc;
}

void es_netdev_stop(struct rte_eth_dev *dev)
{
	struct es_netdev *netdev = netdev_of(dev);
	uint64_t count = 1;

	if (netdev->running) {
		if (write(netdev->stop, &count, sizeof(count)) == sizeof(count))
			rte_thread_join(netdev->thread, NULL);
		if (read(netdev->stop, &count, sizeof(count)) < 0)
			SAY(DEBUG, "netdev %s: stopped before\n", netdev->name);
		netdev->running = false;
	}
	if (netdev->handle != NULL) {
		rte_intr_callback_unregister_sync(netdev->handle, link_changed, dev);
		rte_intr_instance_free(netdev->handle);
		netdev->handle = NULL;
	}
	quieten(netdev, false);
}
