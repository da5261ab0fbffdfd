// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel beside an isolated port, where it is a real one: a netdev that has the port's address, as that
 * of mlx5 does. What no rule takes goes there, and what the kernel sends there leaves by the wire.
 *
 *   kernel ─ NETDEV ══ veth ══ beside= ─ here ─ the port's wire
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_log.h>

#include "driver.h"

/* Frames that one turn takes. */
#define BURST 64

int es_beside_open(struct es_port *port, const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = rte_cpu_to_be_16(ETH_P_ALL),
	};
	struct ifreq asked = {0};
	int rc = 0, yes = 1;

	/* Of no protocol until it is bound: nothing of other netdevs comes before. */
	port->beside = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rte_strscpy(asked.ifr_name, name, sizeof(asked.ifr_name));
	if (port->beside < 0 || ioctl(port->beside, SIOCGIFINDEX, &asked) < 0)
		rc = -errno;
	if (rc == 0) {
		address.sll_ifindex = asked.ifr_ifindex;
		if (setsockopt(port->beside, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
		    bind(port->beside, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    ioctl(port->beside, SIOCGIFHWADDR, &asked) < 0)
			rc = -errno;
	}
	if (rc < 0) {
		rte_log(RTE_LOG_ERR, es_logtype, "evenpath_sim: beside %s: open: %s\n", name, strerror(-rc));
		es_beside_close(port);
		return rc;
	}
	memcpy(port->address.addr_bytes, asked.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

void es_beside_close(struct es_port *port)
{
	if (port->beside >= 0)
		close(port->beside);
	port->beside = -1;
}

bool es_beside_send(const struct es_port *port, const uint8_t *frame, uint32_t length)
{
	return send(port->beside, frame, length, MSG_DONTWAIT) > 0;
}

void es_beside_take_in(struct es_port *port)
{
	uint8_t frame[UINT16_MAX];

	for (int i = 0; i < BURST; i++) {
		ssize_t length = recv(port->beside, frame, sizeof(frame), MSG_DONTWAIT);

		if (length <= 0)
			break;
		es_kernel_sends(port, frame, length);
	}
}
