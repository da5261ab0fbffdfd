/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver asks of the simulated e-switch, which is written in Rust: flat records, and
 * numbers that src/lib.rs has, too.
 */
#ifndef EVENPATH_SIM_H
#define EVENPATH_SIM_H

#include <stdbool.h>
#include <stdint.h>

#define ES_MAX_VALUES 16
#define ES_MAX_ITEMS 16
#define ES_MAX_ACTIONS 32
#define ES_MAX_TEMPLATES 32
#define ES_MAX_RSS 512
#define ES_RSS_KEY 40

/* Fields, in the order of `Field` of fastpath::hardware::program. */
enum es_field {
	ES_ETH_DST, ES_ETH_SRC, ES_ETH_TYPE, ES_ETH_VLAN,
	ES_IPV4_IHL, ES_IPV4_LENGTH, ES_IPV4_FRAGMENTED, ES_IPV4_TTL, ES_IPV4_PROTO,
	ES_IPV4_SRC, ES_IPV4_DST,
	ES_IPV6_LABEL, ES_IPV6_LENGTH, ES_IPV6_FRAGMENTED, ES_IPV6_PROTO, ES_IPV6_HOPS,
	ES_IPV6_SRC, ES_IPV6_DST,
	ES_SPORT, ES_DPORT, ES_L3_OK, ES_IPV4_CSUM_OK, ES_TAG, ES_META, ES_TX_QUEUE, ES_PORT,
};

/* Items, in the order of `Item`. */
enum es_item {
	ES_ITEM_INTEGRITY, ES_ITEM_PORT, ES_ITEM_TX_QUEUE, ES_ITEM_TAG, ES_ITEM_META,
	ES_ITEM_ETH, ES_ITEM_IPV4, ES_ITEM_IPV6, ES_ITEM_UDP, ES_ITEM_TCP,
};

/* Targets, in the order of `Target`. */
enum es_target {
	ES_MAC_DST, ES_MAC_SRC, ES_TTL, ES_HOPS, ES_TARGET_TAG, ES_TARGET_META, ES_HASH_RESULT,
};

/* Actions; those without a number of their own have none. */
enum es_kind {
	ES_MARK, ES_COUNT, ES_MODIFY, ES_JUMP, ES_QUEUE, ES_REPRESENTED_PORT, ES_MANAGER,
	ES_KERNEL, ES_DROP, ES_RSS, ES_INDIRECT,
};

/* A field and its value, right-aligned in 128 bits. */
struct es_value {
	uint32_t field;
	uint32_t tag;
	uint64_t high;
	uint64_t low;
};

struct es_pattern {
	uint32_t items[ES_MAX_ITEMS];
	uint32_t n_items;
	uint32_t n;
	/* Masks of templates, values of rules. */
	struct es_value values[ES_MAX_VALUES];
	/* Of rules; of templates: not 0 where rules have ranges. */
	struct es_value last[ES_MAX_VALUES];
	bool relaxed;
	bool ranges;
};

struct es_action {
	uint32_t kind;
	/* Of MODIFY_FIELD: 0 set, 1 add. */
	uint32_t verb;
	uint32_t target, target_tag, offset, width;
	/* From a value, or from a field. */
	uint32_t from_field, source, source_tag, source_offset;
	/* Of templates: the same for all rules. */
	uint32_t fixed;
	/* What is written, or the number of a mark, group, queue, port or indirect action. */
	uint64_t value;
};

/* Of the one RSS action that a list may have. */
struct es_rss {
	uint32_t n;
	/* 0: the NIC's own key. */
	uint32_t key_length;
	/* By addresses and ports, or by addresses alone; both directions alike. */
	uint32_t ports, symmetric;
	/* Rules of the first API: by addresses what has no ports. */
	uint32_t addresses;
	uint16_t queues[ES_MAX_RSS];
	uint8_t key[ES_RSS_KEY];
};

struct es_actions {
	uint32_t n;
	struct es_action list[ES_MAX_ACTIONS];
	struct es_rss rss;
};

struct es_table {
	uint32_t port, domain, group, priority;
	/* 0 by pattern, 1 by index with CRC-32, 2 linear. */
	uint32_t insertion, size;
	const struct es_pattern *pattern;
	const struct es_actions *const *templates;
	uint32_t n_templates;
};

struct es_result {
	void *cookie;
	uint32_t done;
};

/* Where a packet went. */
enum es_outcome { ES_SOFTWARE, ES_SENT, ES_TO_KERNEL, ES_LOST };

/*
 * All return a negative error number and leave what is wrong in `why` (constant for the life of the
 * process), or 0 or what they say. Queues are numbered per port.
 */
int evenpath_sim_attach(uint32_t port, const char *profile, bool switchdev, bool function,
			const char **why);
/* Entries of the largest indirection table of RSS, or 0. */
uint32_t evenpath_sim_rss_rows(void);
/* Binds a hairpin queue to a sending one of a port, or (tx_port is UINT32_MAX) to none. */
void evenpath_sim_hairpin(uint32_t port, uint32_t queue, uint32_t tx_port, uint32_t tx_queue);
/* The port is gone; with the last one the NIC is. */
void evenpath_sim_detach(uint32_t port);
/* Something that is to go wrong: see src/flaws.rs. */
int evenpath_sim_fault(const char *key, const char *value, const char **why);
void evenpath_sim_isolate(uint32_t port, bool function, bool isolated);
/* The port stops: its tables and rules are gone. */
int evenpath_sim_forget(uint32_t port, const char **why);
int64_t evenpath_sim_table(const struct es_table *table, const char **why);
int evenpath_sim_table_destroy(uint32_t table, const char **why);
/* The rule's number; `spec` is NULL for a rule by index. */
int64_t evenpath_sim_insert(uint32_t port, uint32_t queue, uint32_t table, uint32_t index,
			    const struct es_pattern *spec, const struct es_actions *actions,
			    uint32_t template_index, void *cookie, const char **why);
int evenpath_sim_update(uint32_t port, uint32_t queue, uint64_t rule,
			const struct es_actions *actions, uint32_t template_index, void *cookie,
			const char **why);
int evenpath_sim_destroy(uint32_t port, uint32_t queue, uint64_t rule, void *cookie,
			 const char **why);
/* An indirect action's number. */
int64_t evenpath_sim_share(uint32_t port, uint32_t queue, uint32_t domain,
			   const struct es_actions *action, void *cookie, const char **why);
int evenpath_sim_reshare(uint32_t port, uint32_t queue, uint32_t id,
			 const struct es_actions *action, void *cookie, const char **why);
int evenpath_sim_unshare(uint32_t port, uint32_t queue, uint32_t id, void *cookie,
			 const char **why);
int evenpath_sim_push(uint32_t port, uint32_t queue, const char **why);
/* How many results there are. */
int evenpath_sim_pull(uint32_t port, uint32_t queue, struct es_result *results, uint32_t n,
		      const char **why);
int evenpath_sim_count(uint64_t rule, uint64_t *packets, uint64_t *bytes, const char **why);
int evenpath_sim_lacks(uint64_t rule, const char **why);
int evenpath_sim_hash(uint32_t table, const struct es_pattern *spec, uint32_t *hash,
		      const char **why);
/* A rule of the first API, which has no table of its own: its number. `only_ask`: whether it would be taken. */
int64_t evenpath_sim_rule(uint32_t port, uint32_t priority, const struct es_pattern *masks,
			  const struct es_pattern *values, const struct es_actions *actions, bool only_ask,
			  const char **why);
int evenpath_sim_rule_destroy(uint64_t rule, const char **why);
/*
 * Takes in a frame, which is as it leaves on return; `where` is the queue or the port, `mark` what a rule
 * has marked it with, or UINT32_MAX.
 */
int evenpath_sim_receive(uint32_t port, uint8_t *frame, uint32_t length, uint32_t *where, uint32_t *mark);

#endif
