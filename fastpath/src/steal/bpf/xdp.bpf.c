// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP on a kernel netdev, loaded by DPDK's net_af_xdp (xdp_prog=): our frames go to the AF_XDP
 * socket of their receive queue, all others to the kernel.
 *
 * The driver takes the first program of the object and fills the map named xsks_map. A socket
 * leaves the map when its process dies, and the frames go to the kernel again.
 */
#include "decide.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

/* What becomes of our frames while no socket is bound; tests set another verdict to see them. */
const volatile __u32 unbound = XDP_PASS;

SEC("xdp")
int evenpath_xdp(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;

	if (!ours(data, end, settings()))
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, context->rx_queue_index, unbound);
}

char _license[] SEC("license") = "Dual BSD/GPL";
