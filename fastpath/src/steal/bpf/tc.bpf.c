// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc on a kernel netdev and a tap of DPDK's net_tap: our frames are moved from the netdev into the
 * tap, what DPDK writes into the tap leaves by the netdev, and the kernel sends nothing of its own
 * into the tap. Of a NIC whose hardware parts its packets, what DPDK writes into the tap comes in by
 * the netdev instead.
 */
#include "decide.h"
#include <linux/errno.h>

/* Go on to other filters, then to the kernel: TC_ACT_UNSPEC, which linux/pkt_cls.h has as a signed
 * number. */
#define NEXT (-1)
#define DROP 2

/* A redirect to a netdev that is gone drops the frame. The tap dies with its process and this filter
 * does not, so that without the question transit would vanish until the next start. */
static __always_inline int exists(struct __sk_buff *skb, __u32 ifindex)
{
	__u32 mtu_bytes = 0;

	return bpf_check_mtu(skb, ifindex, &mtu_bytes, 0, 0) != -ENODEV;
}

/* Ingress of the netdev. */
SEC("tc")
int evenpath_steal(struct __sk_buff *skb)
{
	struct config *config = settings();
	void *data, *end;

	if (!config || !config->enabled)
		return NEXT;
	/* A driver may leave the headers in a page that the program cannot read directly. */
	if ((__u64)skb->data_end - skb->data < MAX_HEADERS) {
		__u32 length = skb->len < MAX_HEADERS ? skb->len : MAX_HEADERS;

		bpf_skb_pull_data(skb, length);
	}
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (!ours(data, end, config) || !exists(skb, config->peer))
		return NEXT;
	return bpf_redirect(config->peer, 0);
}

/* Ingress of the tap: what DPDK sent. */
SEC("tc")
int evenpath_return(struct __sk_buff *skb)
{
	struct config *config = settings();

	(void)skb;
	if (!config)
		return DROP;
	return bpf_redirect(config->uplink, 0);
}

/* Ingress of a punting tap: what DPDK found to be the kernel's is received by the netdev, as if its NIC
 * had never given it away. */
SEC("tc")
int evenpath_punt(struct __sk_buff *skb)
{
	struct config *config = settings();

	(void)skb;
	if (!config)
		return DROP;
	return bpf_redirect(config->uplink, BPF_F_INGRESS);
}

/* Egress of the tap: the kernel's own output (router solicitations, MLD, LLDP) was received nowhere;
 * redirected frames were. */
SEC("tc")
int evenpath_mute(struct __sk_buff *skb)
{
	return skb->ingress_ifindex ? NEXT : DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
