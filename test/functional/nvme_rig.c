/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_rig.h"

#include <stdio.h>

#include <nsdk/env.h>

#define PATIENCE_NS (60 * 1000000000ull)

struct rig rig;
struct rig_done rig_once;

void rig_up(const char *device, enum nsdk_policy policy, bool huge)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = !huge };
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = policy };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	void *va;

	rig.device = device;
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(device, NULL, &rig.dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &rig.mem), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_attach(rig.dev, rig.mem, &opts, &rig.ctrlr), 0);
	rig.nosnoop = nsdk_coherence_active(nsdk_nvme_ctrlr_coherence(rig.ctrlr));
	CU_ASSERT_EQUAL_FATAL(rig.nosnoop, policy != NSDK_POLICY_COHERENT);
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(rig.ctrlr);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(rig.mem, &pool_opts, &rig.pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(rig.pool, RIG_ARENA_BYTES, 4096, &va), 0);
	rig.arena = va;
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(rig.ctrlr, NULL, &rig.qp), 0);
}

void rig_down(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;

	CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(rig.qp), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_detach(rig.ctrlr), 0);
	nsdk_cache_model_stats(&stats);
	if (stats.violations_total) {
		nsdk_cache_model_violations(&first, 1);
		fprintf(stderr, "%s: %llu violations, first: %s at %zu, %s, %s, missing %s\n", rig.device,
			(unsigned long long)stats.violations_total, nsdk_violation_name(first.kind),
			first.offset_bytes, first.owner, first.operation, first.missing);
	}
	CU_ASSERT_EQUAL(stats.violations_total, 0);
	nsdk_device_detach(rig.dev);
	nsdk_dma_free(rig.pool, rig.arena);
	CU_ASSERT_EQUAL(nsdk_dma_pool_destroy(rig.pool), 0);
	CU_ASSERT_EQUAL(nsdk_mem_destroy(rig.mem), 0);
}

void rig_done_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct rig_done *done = ctx;

	done->count++;
	done->status = cpl->status & 0xffe;
}

uint16_t rig_wait(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	while (rig_once.count == 0) {
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(rig.qp, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_clock_ns() < deadline_ns);
	}
	CU_ASSERT_EQUAL(rig_once.count, 1);
	return rig_once.status;
}

void rig_fill(uint8_t *buf, size_t bytes)
{
	static uint32_t salt;

	for (size_t i = 0; i < bytes; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}
