/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Rust cannot reach by itself: static inline functions, thread-local variables, macros, and
 * what differs between DPDK releases. One line each where possible; no logic that a test would want.
 */
#ifndef EVENPATH_SHIM_H
#define EVENPATH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_device;
struct rte_flow_item_eth;
struct rte_mbuf;
struct rte_mempool;

/*
 * Offsets of the mbuf fields that Rust reads and writes itself. The paths to them change between
 * releases (anonymous unions come and go), the offsets do not: shim.c asserts each.
 */
enum evenpath_mbuf_layout {
	EVENPATH_MBUF_SIZE = 128,
	EVENPATH_MBUF_BUF_ADDR = 0,
	EVENPATH_MBUF_DATA_OFF = 16,
	EVENPATH_MBUF_REFCNT = 18,
	EVENPATH_MBUF_NB_SEGS = 20,
	EVENPATH_MBUF_PORT = 22,
	EVENPATH_MBUF_OL_FLAGS = 24,
	EVENPATH_MBUF_PACKET_TYPE = 32,
	EVENPATH_MBUF_PKT_LEN = 36,
	EVENPATH_MBUF_DATA_LEN = 40,
	EVENPATH_MBUF_VLAN_TCI = 42,
	EVENPATH_MBUF_HASH_RSS = 44,
	EVENPATH_MBUF_HASH_FDIR_HI = 48,
	EVENPATH_MBUF_BUF_LEN = 54,
	EVENPATH_MBUF_POOL = 56,
	EVENPATH_MBUF_HEADROOM = 128,
};

/* Device flags and modes that are macros with casts, which bindgen does not evaluate. */
enum evenpath_device_flags {
	EVENPATH_DEV_INTR_LSC = 2,
	EVENPATH_RX_OFFLOAD_RSS_HASH = 1 << 19,
	EVENPATH_MBUF_RX_RSS_HASH = 2,
	EVENPATH_MBUF_RX_FDIR_ID = 1 << 13,
};

/* Size of struct rte_flow_item_eth, in which bindgen misplaces a bit field: shim.c asserts it. */
enum evenpath_flow_layout {
	EVENPATH_FLOW_ETH_SIZE = 20,
};

/* A port's link; speed in Mbit/s, UINT32_MAX when the driver does not know it. */
struct evenpath_link {
	uint32_t speed_mbps;
	bool up;
	bool full_duplex;
};

/* Addresses (of IPv4 the last four bytes) in wire order and ports of a flow, hashed or not. */
struct evenpath_rss_tuple {
	bool v6;
	bool ports;
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t sport;
	uint16_t dport;
};

/* Receives one log message: its level (1 emergency to 8 debug), its bytes, their number. */
typedef void (*evenpath_log_fn)(uint32_t level, const char *message, size_t length);

/* rte_errno of the calling thread. */
int evenpath_errno(void);
void evenpath_set_errno(int value);
/* DPDK's id of the calling thread, UINT32_MAX (LCORE_ID_ANY) when it is not registered. */
unsigned int evenpath_lcore_id(void);
/* The time stamp counter. */
uint64_t evenpath_cycles(void);
/* Fills `mbufs` with `count` buffers or returns a negative error number and takes none. */
int evenpath_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
/* Reads the link state without waiting for a negotiation; 0 or a negative error number. */
int evenpath_link_get(uint16_t port, struct evenpath_link *link);
/* Whether the CPU has AVX-512 F and DPDK was built for a CPU family that knows it. */
bool evenpath_cpu_has_avx512(void);
/* Widest vectors that DPDK's run-time selection may use now, in bits. */
uint16_t evenpath_max_simd_bitwidth(void);
/* Sends DPDK's log to `sink`, each message whole; 0 or a negative error number. */
int evenpath_log_redirect(evenpath_log_fn sink);
/* Capacity of `port` lists: RTE_MAX_ETHPORTS of the build. */
unsigned int evenpath_max_ports(void);
/* RTE_ETH_RSS_IP | _TCP | _UDP: spread by addresses and ports. */
uint64_t evenpath_rss_flow_types(void);
/* The same without IPv6 extension headers; without ports by addresses alone. */
uint64_t evenpath_rss_types(bool ports);
/* RTE_ETH_RSS_IP, or RTE_ETH_RSS_UDP | _TCP with ports: what RSS actions of flow rules name. */
uint64_t evenpath_flow_rss_types(bool ports);
/* Sets `has_vlan`, which bindgen believes to lie elsewhere: C packs it behind the 14 bytes of the header. */
void evenpath_flow_eth_set_vlan(struct rte_flow_item_eth *item, bool has_vlan);
/* For tests: what rte_softrss and rte_softrss_be find for `of`, with a key of 40 bytes. */
void evenpath_softrss(const uint8_t *key, const struct evenpath_rss_tuple *of, uint32_t *found);
/* First port of the device that `devargs` names, RTE_MAX_ETHPORTS when there is none. */
uint16_t evenpath_port_of_device(const char *devargs);
/*
 * Forgets how many second-level blocks the table `dp` (rte_fib_get_dp, rte_fib6_get_dp) believes to
 * have promised to its prefixes; `blocks` is how many it has. False, and nothing is changed, when
 * the table is laid out in another way.
 */
bool evenpath_fib_forget_reservation(void *dp, uint32_t blocks);
/* Removes the device behind a port that was closed; 0 or a negative error number. */
int evenpath_device_remove(struct rte_device *device);

#endif
