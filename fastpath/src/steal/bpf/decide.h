/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which frames of a kernel netdev are evenpath's: unicast IPv4 and IPv6 to our MAC address whose
 * destination is not one of this machine's own addresses. All else stays with the kernel.
 *
 * The maps are filled by steal::OwnAddresses. A fresh program has a config of zeros, which is
 * "disabled": nothing is taken before control has written the own addresses.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* The same layout is written in own.rs. */
struct config {
	__u32 enabled;      /* 0: pass everything */
	__u32 peer;         /* tc: ifindex of the tap */
	__u32 uplink;       /* tc: ifindex of the netdev */
	__u8 mac[ETH_ALEN]; /* destination MAC address of our frames */
	__u8 zero[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __be32);
	__type(value, __u8);
} own4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct in6_addr);
	__type(value, __u8);
} own6 SEC(".maps");

struct vlan {
	__be16 tci;
	__be16 type;
};

/* The most tags that are read; frames with more are not ours. */
#define MAX_TAGS 2
/* The most bytes that ours() looks at. */
#define MAX_HEADERS (ETH_HLEN + MAX_TAGS * sizeof(struct vlan) + sizeof(struct ipv6hdr))

static __always_inline struct config *settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] &&
	       a[5] == b[5];
}

/* Never forwarded by a router: 0/8 and 127/8 (RFC 1122), 169.254/16 (RFC 3927 2.7), multicast,
 * reserved, broadcast. */
static __always_inline int kernel4(__be32 destination)
{
	__u32 address = bpf_ntohl(destination);
	__u32 first = address >> 24;

	return first == 0 || first == 127 || first >= 224 || address >> 16 == 0xa9fe ||
	       bpf_map_lookup_elem(&own4, &destination);
}

/* Never forwarded by a router: multicast, fe80::/10 (RFC 4291 2.5.6), :: and ::1. */
static __always_inline int kernel6(const struct in6_addr *destination)
{
	const __u8 *byte = destination->in6_u.u6_addr8;
	const __be32 *word = destination->in6_u.u6_addr32;
	struct in6_addr key;

	if (byte[0] == 0xff || (byte[0] == 0xfe && (byte[1] & 0xc0) == 0x80))
		return 1;
	if (!word[0] && !word[1] && !word[2] && (!word[3] || word[3] == bpf_htonl(1)))
		return 1;
	__builtin_memcpy(&key, destination, sizeof(key));
	return bpf_map_lookup_elem(&own6, &key) != 0;
}

/* Fragments, options and hop limits do not matter: the destination alone decides, so that all of a
 * packet goes one way. A TTL that runs out is ours too: evenpath answers it. */
static __always_inline int ours(void *data, void *end, const struct config *config)
{
	struct ethhdr *ethernet = data;
	void *next = ethernet + 1;
	__be16 type;
	int tag;

	if (!config || !config->enabled || next > end)
		return 0;
	if (!same_mac(ethernet->h_dest, config->mac))
		return 0;
	type = ethernet->h_proto;

#pragma unroll
	for (tag = 0; tag < MAX_TAGS; tag++) {
		struct vlan *vlan = next;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		next = vlan + 1;
		if (next > end)
			return 0;
		type = vlan->type;
	}

	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = next;

		return (void *)(ip + 1) <= end && ip->version == 4 && !kernel4(ip->daddr);
	}
	if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = next;

		return (void *)(ip + 1) <= end && ip->version == 6 && !kernel6(&ip->daddr);
	}
	return 0;
}
