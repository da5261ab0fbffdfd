/* SPDX-License-Identifier: Apache-2.0 */
/* From rte_flow's patterns back to flat ones. What mlx5 does not take is refused. */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "driver.h"

/* The mask that mlx5 takes as "is a fragment". */
#define FRAGMENTED 0x3fff

static void put(struct es_pattern *out, uint32_t n, uint32_t field, uint64_t value)
{
	out->values[n] = (struct es_value){.field = field, .low = value};
}

static void put_mac(struct es_pattern *out, uint32_t n, uint32_t field,
		    const struct rte_ether_addr *address)
{
	uint64_t value = 0;

	for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		value = value << 8 | address->addr_bytes[i];
	put(out, n, field, value);
}

static void put_ipv6(struct es_pattern *out, uint32_t n, uint32_t field,
		     const struct rte_ipv6_addr *address)
{
	uint64_t half[2];

	memcpy(half, address->a, sizeof(half));
	out->values[n] = (struct es_value){
		.field = field,
		.high = rte_be_to_cpu_64(half[0]),
		.low = rte_be_to_cpu_64(half[1]),
	};
}

/*
 * The known fields of an item's record, in an order that is the same for all of its kind, and that of
 * a flow in the templates whose hash is known.
 */
static int fields(enum rte_flow_item_type type, const void *conf, bool mask, struct es_pattern *out)
{
	switch (type) {
	case RTE_FLOW_ITEM_TYPE_ETH: {
		const struct rte_flow_item_eth *eth = conf;

		put_mac(out, 0, ES_ETH_DST, &eth->hdr.dst_addr);
		put_mac(out, 1, ES_ETH_SRC, &eth->hdr.src_addr);
		put(out, 2, ES_ETH_TYPE, rte_be_to_cpu_16(eth->hdr.ether_type));
		put(out, 3, ES_ETH_VLAN, eth->has_vlan);
		return 4;
	}
	case RTE_FLOW_ITEM_TYPE_IPV4: {
		const struct rte_ipv4_hdr *ip = &((const struct rte_flow_item_ipv4 *)conf)->hdr;
		uint16_t fragment = rte_be_to_cpu_16(ip->fragment_offset);

		if (mask && fragment != 0 && fragment != FRAGMENTED)
			return -ENOTSUP;
		if (mask && (ip->version_ihl & 0xf0 || ip->type_of_service || ip->packet_id ||
			     ip->hdr_checksum))
			return -ENOTSUP;
		put(out, 0, ES_IPV4_IHL, ip->version_ihl & 0xf);
		put(out, 1, ES_IPV4_LENGTH, rte_be_to_cpu_16(ip->total_length));
		put(out, 2, ES_IPV4_FRAGMENTED, (fragment & FRAGMENTED) != 0);
		put(out, 3, ES_IPV4_TTL, ip->time_to_live);
		put(out, 4, ES_IPV4_SRC, rte_be_to_cpu_32(ip->src_addr));
		put(out, 5, ES_IPV4_DST, rte_be_to_cpu_32(ip->dst_addr));
		put(out, 6, ES_IPV4_PROTO, ip->next_proto_id);
		return 7;
	}
	case RTE_FLOW_ITEM_TYPE_IPV6: {
		const struct rte_flow_item_ipv6 *item = conf;
		const struct rte_ipv6_hdr *ip = &item->hdr;
		uint32_t first = rte_be_to_cpu_32(ip->vtc_flow);

		if (mask && first & ~RTE_IPV6_HDR_FL_MASK)
			return -ENOTSUP;
		put(out, 0, ES_IPV6_LABEL, first & RTE_IPV6_HDR_FL_MASK);
		put(out, 1, ES_IPV6_LENGTH, rte_be_to_cpu_16(ip->payload_len));
		put(out, 2, ES_IPV6_FRAGMENTED, item->has_frag_ext);
		put(out, 3, ES_IPV6_HOPS, ip->hop_limits);
		put_ipv6(out, 4, ES_IPV6_SRC, &ip->src_addr);
		put_ipv6(out, 5, ES_IPV6_DST, &ip->dst_addr);
		put(out, 6, ES_IPV6_PROTO, ip->proto);
		return 7;
	}
	case RTE_FLOW_ITEM_TYPE_UDP:
	case RTE_FLOW_ITEM_TYPE_TCP: {
		/* The ports are the first two fields of either. */
		const rte_be16_t *ports = conf;

		put(out, 0, ES_SPORT, rte_be_to_cpu_16(ports[0]));
		put(out, 1, ES_DPORT, rte_be_to_cpu_16(ports[1]));
		return 2;
	}
	case RTE_FLOW_ITEM_TYPE_INTEGRITY: {
		const struct rte_flow_item_integrity *integrity = conf;

		if (mask && (integrity->packet_ok || integrity->l2_ok || integrity->l2_crc_ok ||
			     integrity->l3_len_ok))
			return -ENOTSUP;
		put(out, 0, ES_L3_OK, integrity->l3_ok);
		put(out, 1, ES_IPV4_CSUM_OK, integrity->ipv4_csum_ok);
		return 2;
	}
	case RTE_FLOW_ITEM_TYPE_TAG: {
		const struct rte_flow_item_tag *tag = conf;

		if (mask && tag->index != UINT8_MAX)
			return -EINVAL;
		put(out, 0, ES_TAG, tag->data);
		return 1;
	}
	case RTE_FLOW_ITEM_TYPE_META:
		put(out, 0, ES_META, ((const struct rte_flow_item_meta *)conf)->data);
		return 1;
	case RTE_FLOW_ITEM_TYPE_TX_QUEUE:
		put(out, 0, ES_TX_QUEUE, ((const struct rte_flow_item_tx_queue *)conf)->tx_queue);
		return 1;
	case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
		put(out, 0, ES_PORT, ((const struct rte_flow_item_ethdev *)conf)->port_id);
		return 1;
	default:
		return -ENOTSUP;
	}
}

static int item_number(enum rte_flow_item_type type)
{
	switch (type) {
	case RTE_FLOW_ITEM_TYPE_INTEGRITY:
		return ES_ITEM_INTEGRITY;
	case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
		return ES_ITEM_PORT;
	case RTE_FLOW_ITEM_TYPE_TX_QUEUE:
		return ES_ITEM_TX_QUEUE;
	case RTE_FLOW_ITEM_TYPE_TAG:
		return ES_ITEM_TAG;
	case RTE_FLOW_ITEM_TYPE_META:
		return ES_ITEM_META;
	case RTE_FLOW_ITEM_TYPE_ETH:
		return ES_ITEM_ETH;
	case RTE_FLOW_ITEM_TYPE_IPV4:
		return ES_ITEM_IPV4;
	case RTE_FLOW_ITEM_TYPE_IPV6:
		return ES_ITEM_IPV6;
	case RTE_FLOW_ITEM_TYPE_UDP:
		return ES_ITEM_UDP;
	case RTE_FLOW_ITEM_TYPE_TCP:
		return ES_ITEM_TCP;
	default:
		return -ENOTSUP;
	}
}

int es_pattern_template(const struct rte_flow_item *items, struct es_pattern *out)
{
	for (; items->type != RTE_FLOW_ITEM_TYPE_END; items++) {
		const struct rte_flow_item_tag *tag = items->spec;
		struct es_pattern masks, last = {0};
		int number = item_number(items->type), n = 0;

		if (number < 0)
			return number;
		if (out->n_items == ES_MAX_ITEMS)
			return -E2BIG;
		out->items[out->n_items++] = number;
		if (items->mask == NULL)
			continue;
		/* mlx5 takes a TAG without an index as no match at all, silently. */
		if (items->type == RTE_FLOW_ITEM_TYPE_TAG && tag == NULL)
			return -EINVAL;
		n = fields(items->type, items->mask, true, &masks);
		if (n < 0)
			return n;
		if (items->last != NULL)
			fields(items->type, items->last, true, &last);
		for (int i = 0; i < n; i++) {
			if (masks.values[i].low == 0 && masks.values[i].high == 0)
				continue;
			if (out->n == ES_MAX_VALUES)
				return -E2BIG;
			if (items->type == RTE_FLOW_ITEM_TYPE_TAG)
				masks.values[i].tag = tag->index;
			out->ranges |= last.values[i].low != 0;
			out->last[out->n] = last.values[i];
			out->values[out->n++] = masks.values[i];
		}
	}
	return 0;
}

int es_pattern_rule(const struct es_pattern *template, const struct rte_flow_item *items,
		    struct es_pattern *out)
{
	uint32_t at = 0;

	for (uint32_t item = 0; item < template->n_items; item++, items++) {
		struct es_pattern spec = {0}, last = {0};
		int n = 0;

		if (item_number(items->type) != (int)template->items[item])
			return -EINVAL;
		if (items->spec != NULL)
			n = fields(items->type, items->spec, false, &spec);
		if (items->last != NULL)
			fields(items->type, items->last, false, &last);
		/* The template's fields of this item follow each other, in the same order. */
		for (int i = 0; i < n && at < template->n; i++) {
			const struct es_value *mask = &template->values[at];

			if (mask->field != spec.values[i].field)
				continue;
			if (items->type == RTE_FLOW_ITEM_TYPE_TAG &&
			    ((const struct rte_flow_item_tag *)items->spec)->index != mask->tag)
				return -EINVAL;
			out->values[at] = spec.values[i];
			/* A field without a range ends where it begins. */
			out->last[at] = template->last[at].low ? last.values[i] : spec.values[i];
			at++;
		}
	}
	out->n = template->n;
	out->ranges = template->ranges;
	/* A field that matters and that the rule says nothing of. */
	return items->type == RTE_FLOW_ITEM_TYPE_END && at == template->n ? 0 : -EINVAL;
}
