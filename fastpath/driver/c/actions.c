/* SPDX-License-Identifier: Apache-2.0 */
/* From rte_flow's actions back to flat ones. What mlx5 does not take is refused. */
#include <errno.h>
#include <string.h>

#include "flow.h"

/* The tag that linear tables take their row from; its offsets count from the top. */
#define LINEAR_TAG 255

static int target(const struct rte_flow_field_data *data, uint32_t *tag)
{
	switch (data->field) {
	case RTE_FLOW_FIELD_MAC_DST:
		return ES_MAC_DST;
	case RTE_FLOW_FIELD_MAC_SRC:
		return ES_MAC_SRC;
	case RTE_FLOW_FIELD_IPV4_TTL:
		return ES_TTL;
	case RTE_FLOW_FIELD_IPV6_HOPLIMIT:
		return ES_HOPS;
	case RTE_FLOW_FIELD_TAG:
		*tag = data->tag_index;
		return ES_TARGET_TAG;
	case RTE_FLOW_FIELD_META:
		return ES_TARGET_META;
	case RTE_FLOW_FIELD_HASH_RESULT:
		return ES_HASH_RESULT;
	default:
		return -ENOTSUP;
	}
}

/* The value as the item of the field has it, without what lies below the offset. */
static uint64_t immediate(const struct es_action *out, const uint8_t *bytes)
{
	uint64_t value = 0;
	uint32_t word;

	switch (out->target) {
	case ES_TARGET_TAG:
	case ES_TARGET_META:
		memcpy(&word, bytes, sizeof(word));
		value = word;
		if (out->target == ES_TARGET_TAG && out->target_tag == LINEAR_TAG)
			return value >> (16 - out->offset - out->width);
		return value >> out->offset;
	case ES_MAC_DST:
	case ES_MAC_SRC:
		for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
			value = value << 8 | bytes[i];
		return value >> out->offset;
	default:
		return bytes[0] >> out->offset;
	}
}

/* mlx5_flow_hw.c:5999 of v24.11. */
static int modify_mask(const struct rte_flow_action_modify_field *modify,
		       const struct rte_flow_action_modify_field *mask)
{
	if (mask == NULL || mask->operation != modify->operation ||
	    mask->dst.field != modify->dst.field || mask->src.field != modify->src.field)
		return -EINVAL;
	if (mask->dst.level != UINT8_MAX || mask->dst.offset != UINT32_MAX ||
	    mask->width != UINT32_MAX)
		return -EINVAL;
	if (modify->src.field != RTE_FLOW_FIELD_VALUE &&
	    (mask->src.level != UINT8_MAX || mask->src.offset != UINT32_MAX))
		return -EINVAL;
	return 0;
}

static int modify(const struct rte_flow_action_modify_field *conf, struct es_action *out)
{
	int number = target(&conf->dst, &out->target_tag);

	if (number < 0 || number == ES_HASH_RESULT)
		return -EINVAL;
	out->target = number;
	if (conf->operation > RTE_FLOW_MODIFY_ADD)
		return -ENOTSUP;
	out->verb = conf->operation == RTE_FLOW_MODIFY_ADD;
	out->offset = conf->dst.offset;
	out->width = conf->width;
	if (conf->width == 0 || conf->width > 64 || conf->dst.offset > 64)
		return -EINVAL;
	if (number == ES_TARGET_TAG && out->target_tag == LINEAR_TAG &&
	    conf->dst.offset + conf->width > 16)
		return -EINVAL;
	if (conf->src.field == RTE_FLOW_FIELD_VALUE) {
		out->value = immediate(out, conf->src.value);
		return 0;
	}
	number = target(&conf->src, &out->source_tag);
	if (number < 0)
		return number;
	out->from_field = 1;
	out->source = number;
	out->source_offset = conf->src.offset;
	return 0;
}

/* Queues of an RSS action: all there, and all of software or all of hairpins (mlx5_flow.c:2174). */
static bool queues_are_there(const struct es_port *port, const struct es_rss *rss)
{
	for (uint32_t i = 0; i < rss->n; i++) {
		uint16_t queue = rss->queues[i];
		bool hairpin = queue < ES_ALL_QUEUES && port->rx_hairpins[queue].set;

		if (!hairpin && (queue >= ES_MAX_QUEUES || port->rx[queue].waiting == NULL))
			return false;
		if (hairpin != port->rx_hairpins[rss->queues[0]].set)
			return false;
	}
	return true;
}

static int rss(const struct es_port *port, const struct rte_flow_action_rss *from, struct es_rss *to)
{
	uint64_t ports = RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;

	if (from->queue_num == 0 || from->queue_num > ES_MAX_RSS || from->level > 1)
		return -EINVAL;
	if (from->key_len != 0 && (from->key_len != ES_RSS_KEY || from->key == NULL))
		return -EINVAL;
	/* mlx5_flow.c:2213: of the symmetric ones the first alone, which it computes by sorting. */
	if (from->func != RTE_ETH_HASH_FUNCTION_DEFAULT && from->func != RTE_ETH_HASH_FUNCTION_TOEPLITZ &&
	    from->func != RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ)
		return -ENOTSUP;
	/* mlx5_defs.h:92: others are ENOTSUP. */
	if ((from->types & ~(ports | RTE_ETH_RSS_IP)) != 0)
		return -ENOTSUP;
	*to = (struct es_rss){
		.n = from->queue_num,
		.key_length = from->key_len,
		.ports = (from->types & ports) != 0,
		.addresses = (from->types & RTE_ETH_RSS_IP) != 0,
		.symmetric = from->func == RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
	};
	memcpy(to->queues, from->queue, from->queue_num * sizeof(*from->queue));
	if (from->key_len != 0)
		memcpy(to->key, from->key, ES_RSS_KEY);
	return queues_are_there(port, to) ? 0 : -EINVAL;
}

static int indirect(const struct es_port *port, const struct rte_flow_action_handle *handle,
		    struct es_action *out)
{
	/* A template's, whose rules say which. */
	if (handle == NULL)
		return 0;
	if (handle->port != port || handle->failed)
		return -EINVAL;
	out->value = handle->id;
	return 0;
}

static int action(const struct es_port *port, const struct rte_flow_action *from,
		  struct es_action *out, struct es_rss *spread)
{
	const void *conf = from->conf;

	switch (from->type) {
	case RTE_FLOW_ACTION_TYPE_COUNT:
		out->kind = ES_COUNT;
		return 0;
	case RTE_FLOW_ACTION_TYPE_SEND_TO_KERNEL:
		out->kind = ES_KERNEL;
		return 0;
	case RTE_FLOW_ACTION_TYPE_DROP:
		out->kind = ES_DROP;
		return 0;
	case RTE_FLOW_ACTION_TYPE_MARK:
		out->kind = ES_MARK;
		out->value = conf ? ((const struct rte_flow_action_mark *)conf)->id : 0;
		return 0;
	case RTE_FLOW_ACTION_TYPE_JUMP:
		out->kind = ES_JUMP;
		/* A template's, whose rules say where: anywhere but the root. */
		out->value = conf ? ((const struct rte_flow_action_jump *)conf)->group : 1;
		return 0;
	case RTE_FLOW_ACTION_TYPE_QUEUE:
		out->kind = ES_QUEUE;
		out->value = conf ? ((const struct rte_flow_action_queue *)conf)->index : 0;
		return 0;
	case RTE_FLOW_ACTION_TYPE_RSS:
		out->kind = ES_RSS;
		/* A template's, whose rules say how. */
		if (conf == NULL) {
			*spread = (struct es_rss){.n = 1};
			return 0;
		}
		return spread->n != 0 ? -ENOTSUP : rss(port, conf, spread);
	case RTE_FLOW_ACTION_TYPE_INDIRECT:
		out->kind = ES_INDIRECT;
		return indirect(port, conf, out);
	case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
		out->kind = ES_REPRESENTED_PORT;
		out->value = conf ? ((const struct rte_flow_action_ethdev *)conf)->port_id : 0;
		return 0;
	case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
		out->kind = ES_MANAGER;
		/* No other is taken (mlx5_flow_hw.c of v24.11). */
		if (conf == NULL || ((const struct rte_flow_action_ethdev *)conf)->port_id != UINT16_MAX)
			return -ENOTSUP;
		return 0;
	case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD:
		out->kind = ES_MODIFY;
		return conf ? modify(conf, out) : -EINVAL;
	default:
		return -ENOTSUP;
	}
}

/* Whether all rules have the template's value: a mask that is there may still be zeros, with which
 * mlx5 asks each rule (mlx5_flow_hw.c:2564, :2602, :2622 of v24.11; testpmd's are always there). */
static uint32_t is_fixed(const struct rte_flow_action *mask)
{
	const void *conf = mask->conf;

	if (conf == NULL)
		return 0;
	switch (mask->type) {
	case RTE_FLOW_ACTION_TYPE_MARK:
		return ((const struct rte_flow_action_mark *)conf)->id != 0;
	case RTE_FLOW_ACTION_TYPE_JUMP:
		return ((const struct rte_flow_action_jump *)conf)->group != 0;
	case RTE_FLOW_ACTION_TYPE_QUEUE:
		return ((const struct rte_flow_action_queue *)conf)->index != 0;
	case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
		return ((const struct rte_flow_action_ethdev *)conf)->port_id != 0;
	default:
		return 1;
	}
}

/* The type that a mask has: of an indirect action that of what it does, which is RSS. */
static enum rte_flow_action_type masked_as(const struct rte_flow_action *from)
{
	return from->type == RTE_FLOW_ACTION_TYPE_INDIRECT ? RTE_FLOW_ACTION_TYPE_RSS : from->type;
}

int es_actions(const struct es_port *port, const struct rte_flow_action *from,
	       const struct rte_flow_action *masks, struct es_actions *out)
{
	for (; from->type != RTE_FLOW_ACTION_TYPE_END; from++) {
		struct es_action *to = &out->list[out->n];
		int rc;

		if (out->n == ES_MAX_ACTIONS)
			return -E2BIG;
		rc = action(port, from, to, &out->rss);
		if (rc < 0)
			return rc;
		if (masks != NULL) {
			const struct rte_flow_action *mask = &masks[out->n];

			if (mask->type != masked_as(from))
				return -EINVAL;
			to->fixed = is_fixed(mask);
			if (to->kind == ES_MODIFY) {
				const struct rte_flow_action_modify_field *conf = mask->conf;
				static const uint8_t zeros[16];

				rc = modify_mask(from->conf, conf);
				if (rc < 0)
					return rc;
				to->fixed = memcmp(conf->src.value, zeros, sizeof(zeros)) != 0;
			} else if (to->kind == ES_COUNT || to->kind == ES_KERNEL ||
				   to->kind == ES_DROP || to->kind == ES_MANAGER) {
				to->fixed = 0;
			}
		} else if (from->conf == NULL && to->kind != ES_COUNT && to->kind != ES_KERNEL &&
			   to->kind != ES_DROP) {
			return -EINVAL;
		}
		out->n++;
	}
	return 0;
}
