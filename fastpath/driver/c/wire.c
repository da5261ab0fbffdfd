/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets. Whoever puts one on a wire turns the crank of the NIC behind it: the far end's sender, or
 * the thread of a netdev. So what the e-switch forwards costs no worker anything, and needs none.
 *
 *   netdev, wire's sender -> es_receive -> e-switch -> netdev, ring of the wire's other end
 *                                                   -> ring of a receive queue -> worker
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_log.h>
#include <rte_mbuf.h>

#include "driver.h"

/* Held by those who look at ports that are not their own. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct es_port *all[RTE_MAX_ETHPORTS];

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void es_lost(struct es_port *port)
{
	count(&port->lost, 1);
}

void es_ports_add(struct es_port *port)
{
	pthread_rwlock_wrlock(&lock);
	all[port->id] = port;
	pthread_rwlock_unlock(&lock);
}

void es_ports_remove(struct es_port *port)
{
	pthread_rwlock_wrlock(&lock);
	all[port->id] = NULL;
	pthread_rwlock_unlock(&lock);
}

void es_ports_start(struct es_port *port, bool started)
{
	pthread_rwlock_wrlock(&lock);
	port->started = started;
	pthread_rwlock_unlock(&lock);
}

struct es_port *es_port_of(uint16_t id)
{
	struct es_port *port;

	pthread_rwlock_rdlock(&lock);
	port = id < RTE_MAX_ETHPORTS ? all[id] : NULL;
	pthread_rwlock_unlock(&lock);
	return port;
}

/* A packet that software gets, or the other end of a wire: the frame's own, or a copy. */
static struct rte_mbuf *packet(struct es_rx *rx, const uint8_t *frame, uint32_t length,
			       struct rte_mbuf *mbuf)
{
	struct rte_mbuf *made = mbuf;
	char *to;

	if (made != NULL)
		return made;
	if (rx->pool != NULL)
		made = rte_pktmbuf_alloc(rx->pool);
	if (made == NULL)
		return NULL;
	to = length > UINT16_MAX ? NULL : rte_pktmbuf_append(made, length);
	if (to == NULL) {
		if (!rx->port->refused_room)
			rte_log(RTE_LOG_ERR, es_logtype, "evenpath_sim: port %u: a frame of %u bytes "
				"for software is lost, and so are all others: buffers have %u\n",
				rx->port->id, length, rte_pktmbuf_tailroom(made));
		rx->port->refused_room = true;
		rte_pktmbuf_free(made);
		return NULL;
	}
	memcpy(to, frame, length);
	return made;
}

/* Sends a frame out of a port. Whether it went; if so the mbuf is gone. */
static bool leave(struct es_port *from, struct es_port *to, const uint8_t *frame, uint32_t length,
		  struct rte_mbuf *mbuf)
{
	struct rte_mbuf *made;

	if (to == NULL || !to->started)
		return false;
	if (to->netdev.fd >= 0) {
		if (!es_netdev_send(&to->netdev, frame, length))
			return false;
		rte_pktmbuf_free(mbuf);
		return true;
	}
	made = packet(&from->rx[0], frame, length, mbuf);
	if (made == NULL)
		return false;
	if (rte_ring_enqueue(to->out, made) == 0)
		return true;
	if (made != mbuf)
		rte_pktmbuf_free(made);
	return false;
}

/* To the kernel; where nobody stands for it, it is gone. */
static bool to_kernel(struct es_port *port, const uint8_t *frame, uint32_t length,
		      struct rte_mbuf *mbuf)
{
	struct rte_mbuf *made;

	if (port->beside >= 0) {
		if (!es_beside_send(port, frame, length))
			return false;
		rte_pktmbuf_free(mbuf);
		return true;
	}
	made = port->kernel != NULL ? packet(&port->rx[0], frame, length, mbuf) : NULL;
	if (made == NULL)
		return false;
	if (rte_ring_enqueue(port->kernel, made) == 0)
		return true;
	if (made != mbuf)
		rte_pktmbuf_free(made);
	return false;
}

/* To a queue of software. */
static bool deliver(struct es_port *port, uint32_t queue, uint32_t mark, const uint8_t *frame,
		    uint32_t length, struct rte_mbuf *mbuf)
{
	struct es_rx *rx = queue < ES_MAX_QUEUES ? &port->rx[queue] : NULL;
	struct rte_mbuf *made;

	if (rx == NULL || rx->waiting == NULL)
		return false;
	made = packet(rx, frame, length, mbuf);
	if (made == NULL)
		return false;
	made->port = port->id;
	/* As mlx5 (rxq_cq_to_mbuf). */
	made->ol_flags &= ~(RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID);
	if (mark != UINT32_MAX) {
		made->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
		made->hash.fdir.hi = mark;
	}
	if (rte_ring_enqueue(rx->waiting, made) == 0)
		return true;
	if (made != mbuf)
		rte_pktmbuf_free(made);
	return false;
}

/* The caller keeps `port` from going. */
static void through(struct es_port *port, uint8_t *frame, uint32_t length, struct rte_mbuf *mbuf)
{
	uint32_t where = 0, mark = UINT32_MAX;
	bool gone = false;

	switch (port->started ? evenpath_sim_receive(port->id, frame, length, &where, &mark) : ES_LOST) {
	case ES_SENT:
		gone = leave(port, where < RTE_MAX_ETHPORTS ? all[where] : NULL, frame, length, mbuf);
		if (!gone)
			count(&port->lost, 1);
		break;
	case ES_SOFTWARE:
		gone = deliver(port, where, mark, frame, length, mbuf);
		if (!gone)
			count(&port->missed, 1);
		break;
	case ES_TO_KERNEL:
		gone = to_kernel(port, frame, length, mbuf);
		break;
	default:
		count(&port->lost, 1);
	}
	if (!gone)
		rte_pktmbuf_free(mbuf);
}

void es_receive(struct es_port *port, uint8_t *frame, uint32_t length, struct rte_mbuf *mbuf)
{
	pthread_rwlock_rdlock(&lock);
	through(port, frame, length, mbuf);
	pthread_rwlock_unlock(&lock);
}

void es_kernel_sends(struct es_port *port, const uint8_t *frame, uint32_t length)
{
	pthread_rwlock_rdlock(&lock);
	leave(port, port, frame, length, NULL);
	pthread_rwlock_unlock(&lock);
}

static uint16_t take(struct es_rx *rx, struct rte_ring *ring, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t got = rte_ring_dequeue_burst(ring, (void **)mbufs, n, NULL);

	for (uint16_t i = 0; i < got; i++)
		rx->bytes += mbufs[i]->pkt_len;
	rx->packets += got;
	return got;
}

uint16_t es_sim_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_rx *rx = queue;

	return take(rx, rx->waiting, mbufs, n);
}

uint16_t es_wire_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_rx *rx = queue;
	struct es_port *near;
	uint16_t got = 0;

	pthread_rwlock_rdlock(&lock);
	near = all[rx->port->of];
	if (near != NULL)
		got = take(rx, rx->port->is_kernel ? near->kernel : near->out, mbufs, n);
	pthread_rwlock_unlock(&lock);
	return got;
}

/* Of a worker, and so not by the e-switch: straight to the wire, or to the host's function. */
uint16_t es_sim_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_port *port = queue;
	uint64_t bytes = 0;
	uint16_t i;

	for (i = 0; i < n; i++) {
		uint32_t length = mbufs[i]->pkt_len;

		if (port->netdev.fd >= 0) {
			if (!es_netdev_send_mbuf(&port->netdev, mbufs[i]))
				count(&port->tx_lost, 1);
			rte_pktmbuf_free(mbufs[i]);
		} else if (rte_ring_enqueue(port->out, mbufs[i]) < 0) {
			break;
		}
		bytes += length;
	}
	count(&port->tx_packets, i);
	count(&port->tx_bytes, bytes);
	return i;
}

uint16_t es_wire_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct es_port *wire = queue, *near;
	uint64_t bytes = 0;

	pthread_rwlock_rdlock(&lock);
	near = all[wire->of];
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		bytes += mbuf->pkt_len;
		/* The simulated NIC has no packets in pieces, and nobody else's. */
		if (near == NULL || mbuf->nb_segs != 1 || rte_mbuf_refcnt_read(mbuf) != 1) {
			if (near != NULL)
				count(&near->lost, 1);
			rte_pktmbuf_free(mbuf);
			continue;
		}
		if (!wire->is_kernel)
			through(near, rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->pkt_len, mbuf);
		/* The kernel sends by the wire, as it always did. */
		else if (!leave(near, near, rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->pkt_len, mbuf))
			rte_pktmbuf_free(mbuf);
	}
	pthread_rwlock_unlock(&lock);
	count(&wire->tx_packets, n);
	count(&wire->tx_bytes, bytes);
	return n;
}
