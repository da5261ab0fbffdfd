/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wrapper.h"

#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_thash.h>
#include <rte_vect.h>

#if RTE_VERSION < RTE_VERSION_NUM(24, 11, 0, 0)
#error "evenpath needs DPDK 24.11 or later"
#endif

#define ASSERT_OFFSET(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), "rte_mbuf." #field " moved")

_Static_assert(sizeof(struct rte_mbuf) == EVENPATH_MBUF_SIZE, "rte_mbuf changed its size");
ASSERT_OFFSET(buf_addr, EVENPATH_MBUF_BUF_ADDR);
ASSERT_OFFSET(data_off, EVENPATH_MBUF_DATA_OFF);
ASSERT_OFFSET(refcnt, EVENPATH_MBUF_REFCNT);
ASSERT_OFFSET(nb_segs, EVENPATH_MBUF_NB_SEGS);
ASSERT_OFFSET(port, EVENPATH_MBUF_PORT);
ASSERT_OFFSET(ol_flags, EVENPATH_MBUF_OL_FLAGS);
ASSERT_OFFSET(packet_type, EVENPATH_MBUF_PACKET_TYPE);
ASSERT_OFFSET(pkt_len, EVENPATH_MBUF_PKT_LEN);
ASSERT_OFFSET(data_len, EVENPATH_MBUF_DATA_LEN);
ASSERT_OFFSET(vlan_tci, EVENPATH_MBUF_VLAN_TCI);
ASSERT_OFFSET(hash.rss, EVENPATH_MBUF_HASH_RSS);
ASSERT_OFFSET(hash.fdir.hi, EVENPATH_MBUF_HASH_FDIR_HI);
ASSERT_OFFSET(buf_len, EVENPATH_MBUF_BUF_LEN);
ASSERT_OFFSET(pool, EVENPATH_MBUF_POOL);
_Static_assert(RTE_PKTMBUF_HEADROOM == EVENPATH_MBUF_HEADROOM, "another headroom");
_Static_assert(RTE_ETH_DEV_INTR_LSC == EVENPATH_DEV_INTR_LSC, "another flag");
_Static_assert(RTE_ETH_RX_OFFLOAD_RSS_HASH == EVENPATH_RX_OFFLOAD_RSS_HASH, "another flag");
_Static_assert(RTE_MBUF_F_RX_RSS_HASH == EVENPATH_MBUF_RX_RSS_HASH, "another flag");
_Static_assert(RTE_MBUF_F_RX_FDIR_ID == EVENPATH_MBUF_RX_FDIR_ID, "another flag");
_Static_assert(sizeof(struct rte_flow_item_eth) == EVENPATH_FLOW_ETH_SIZE, "another size");
/* Rust casts `*const [u8; 16]` to this. */
_Static_assert(sizeof(struct rte_ipv6_addr) == 16 && _Alignof(struct rte_ipv6_addr) == 1,
	       "rte_ipv6_addr is not 16 bytes");

int evenpath_errno(void)
{
	return rte_errno;
}

void evenpath_set_errno(int value)
{
	rte_errno = value;
}

unsigned int evenpath_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t evenpath_cycles(void)
{
	return rte_rdtsc();
}

int evenpath_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

int evenpath_link_get(uint16_t port, struct evenpath_link *link)
{
	struct rte_eth_link raw = {0};
	int rc = rte_eth_link_get_nowait(port, &raw);

	link->speed_mbps = raw.link_speed;
	link->up = raw.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = raw.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return rc;
}

bool evenpath_cpu_has_avx512(void)
{
#ifdef RTE_ARCH_X86
	return rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512F) > 0;
#else
	return false;
#endif
}

uint16_t evenpath_max_simd_bitwidth(void)
{
	return rte_vect_get_max_simd_bitwidth();
}

static evenpath_log_fn log_sink;

/* rte_log flushes after each message, so one write is one message (or the rest of a long one). */
static ssize_t log_write(void *cookie, const char *message, size_t length)
{
	int level = rte_log_cur_msg_loglevel();

	(void)cookie;
	log_sink(level > 0 ? (uint32_t)level : RTE_LOG_INFO, message, length);
	return (ssize_t)length;
}

int evenpath_log_redirect(evenpath_log_fn sink)
{
	cookie_io_functions_t functions = {.write = log_write};
	FILE *stream;

	log_sink = sink;
	stream = fopencookie(NULL, "w", functions);
	if (stream == NULL)
		return -errno;
	return rte_openlog_stream(stream);
}

unsigned int evenpath_max_ports(void)
{
	return RTE_MAX_ETHPORTS;
}

uint64_t evenpath_rss_flow_types(void)
{
	return RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
}

uint64_t evenpath_rss_types(bool ports)
{
	uint64_t addresses = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6;

	if (!ports)
		return addresses;
	return addresses | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
	       RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
}

uint64_t evenpath_flow_rss_types(bool ports)
{
	return ports ? RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP : RTE_ETH_RSS_IP;
}

void evenpath_flow_eth_set_vlan(struct rte_flow_item_eth *item, bool has_vlan)
{
	item->has_vlan = has_vlan;
}

void evenpath_softrss(const uint8_t *key, const struct evenpath_rss_tuple *of, uint32_t *found)
{
	uint32_t original[10], converted[10], words[RTE_THASH_V6_L4_LEN];
	union rte_thash_tuple tuple = {0};
	struct rte_ipv6_hdr header = {0};
	uint32_t length;

	memcpy(original, key, sizeof(original));
	rte_convert_rss_key(original, converted, sizeof(original));
	if (of->v6) {
		memcpy(&header.src_addr, of->src, sizeof(of->src));
		memcpy(&header.dst_addr, of->dst, sizeof(of->dst));
		rte_thash_load_v6_addrs(&header, &tuple);
		tuple.v6.sport = of->sport;
		tuple.v6.dport = of->dport;
		length = of->ports ? RTE_THASH_V6_L4_LEN : RTE_THASH_V6_L3_LEN;
	} else {
		memcpy(&tuple.v4.src_addr, of->src + 12, sizeof(tuple.v4.src_addr));
		memcpy(&tuple.v4.dst_addr, of->dst + 12, sizeof(tuple.v4.dst_addr));
		tuple.v4.src_addr = rte_be_to_cpu_32(tuple.v4.src_addr);
		tuple.v4.dst_addr = rte_be_to_cpu_32(tuple.v4.dst_addr);
		tuple.v4.sport = of->sport;
		tuple.v4.dport = of->dport;
		length = of->ports ? RTE_THASH_V4_L4_LEN : RTE_THASH_V4_L3_LEN;
	}
	/* Ports are written as halves of a word. */
	memcpy(words, &tuple, sizeof(words));
	found[0] = rte_softrss(words, length, (const uint8_t *)original);
	found[1] = rte_softrss_be(words, length, (const uint8_t *)converted);
}

uint16_t evenpath_port_of_device(const char *devargs)
{
	struct rte_dev_iterator iterator;
	uint16_t found = RTE_MAX_ETHPORTS;
	uint16_t port;

	RTE_ETH_FOREACH_MATCHING_DEV(port, devargs, &iterator) {
		found = port;
		rte_eth_iterator_cleanup(&iterator);
		break;
	}
	return found;
}

int evenpath_device_remove(struct rte_device *device)
{
	return rte_dev_remove(device);
}

/*
 * The first words of struct dir24_8_tbl and struct rte_trie_tbl, which DPDK does not install; the
 * same from 19.11 to 26.07. rsvd_tbl8s drifts: fib6 never lowers it before 25.11 and misjudges it
 * until 26.07 (7ff51847e2), fib lowers it too often until 26.03 (3ad9ad9e36). Past the table's size,
 * and that includes below zero, every longer prefix is refused for good. The caller counts exactly.
 */
struct fib_head {
	uint32_t number_tbl8s;
	uint32_t rsvd_tbl8s;
};

bool evenpath_fib_forget_reservation(void *dp, uint32_t blocks)
{
	struct fib_head *head = dp;

	if (head == NULL || head->number_tbl8s != blocks)
		return false;
	head->rsvd_tbl8s = 0;
	return true;
}
