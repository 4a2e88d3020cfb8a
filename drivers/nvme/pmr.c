/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The persistent memory region (Base 8.14): memory on the controller that outlives a power cut.
 *
 * It is a BAR of its own. The driver enables it, waits until it is ready, and says where it is; what is
 * stored there is the user's. A store is on its way then, and no more: it lasts once a read has come back
 * that the controller says waits for all stores before it (PMRCAP.PMRWBM), of the region or of its status.
 *
 * Ordering. Between the stores of a thread and that read there is a full barrier: both go to uncached
 * memory, which x86 keeps in order, but they are in two BARs, and aarch64 orders accesses to two peripherals
 * only by a DMB that reaches the outer shareable domain. On PCI Express a read does not pass writes.
 *
 * Resets. One of the controller leaves the region as it is; one of the function disables it, and what is
 * stored meanwhile is dropped. It is enabled again then, with what it has kept. Until it is ready,
 * nsdk_nvme_pmr_flush() says so, and fails once when it is: nobody can tell what was kept from what was
 * dropped. That it has happened is counted before it is enabled, so who finds it ready finds that counted.
 *
 * Threading. The register that enables it is written by the thread that polls the controller; whether the
 * region is mapped is read by any thread.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <linux/pci_regs.h>

#include <nsdk/env.h>

static void full_barrier(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb osh" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

const char *nsdk_nvme_pmr_health_text(enum nsdk_nvme_pmr_health health)
{
	switch (health) {
	case NSDK_NVME_PMR_NORMAL:
		return "normal";
	case NSDK_NVME_PMR_RESTORE_ERROR:
		return "restore error";
	case NSDK_NVME_PMR_READ_ONLY:
		return "read only";
	case NSDK_NVME_PMR_UNRELIABLE:
		return "unreliable";
	default:
		return "reserved";
	}
}

/* How long it may take to get ready. */
static uint64_t ready_ns(uint32_t cap)
{
	uint64_t unit_ns = NSDK_NVME_PMRCAP_PMRTU(cap) == 1 ? 60 * NVME_NS_PER_S : NVME_NS_PER_S / 2;
	uint64_t ns = NSDK_NVME_PMRCAP_PMRTO(cap) * unit_ns;

	/* One that says no time at all gets some. */
	return ns > NVME_NS_PER_S ? ns : NVME_NS_PER_S;
}

int nsdk_nvme_pmr_map_start(struct nsdk_nvme_ctrlr *ctrlr)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	struct nvme_pmr *pmr = &ctrlr->pmr;
	uint32_t cap;
	int err = nsdk_nvme_ctrlr_failed(ctrlr);

	if (err)
		return nsdk_fail(err, "nvme", "%s: the controller has been taken out; attach it again", name);
	if (atomic_load_explicit(&pmr->enabled, memory_order_relaxed))
		return nsdk_fail(-EALREADY, "nvme", "%s: its persistent memory region is mapped already", name);
	if (!(ctrlr->cap & NSDK_NVME_CAP_PMRS))
		return nsdk_fail(-EOPNOTSUPP, "nvme", "%s: the controller has no persistent memory region",
				 name);
	cap = nvme_read32(ctrlr, NSDK_NVME_REG_PMRCAP);
	if (cap == UINT32_MAX)
		return nsdk_nvme_ctrlr_gone(ctrlr);
	/* BAR 0 has the registers. */
	if (NSDK_NVME_PMRCAP_BIR(cap) < 2 || NSDK_NVME_PMRCAP_BIR(cap) >= PCI_STD_NUM_BARS ||
	    !(cap & (NSDK_NVME_PMRCAP_WB_READ | NSDK_NVME_PMRCAP_WB_STATUS)))
		return nsdk_fail(-EIO, "nvme",
				 "%s: PMRCAP is %08xh, which makes no sense: it names no BAR that it can be, or "
				 "no way to make stores last", name, cap);
	err = nsdk_device_bar(ctrlr->dev, NSDK_NVME_PMRCAP_BIR(cap), &pmr->bar);
	if (err)
		return err;
	err = nsdk_device_bar_check(ctrlr->dev, NSDK_NVME_PMRCAP_BIR(cap), 0, pmr->bar.bytes);
	if (err)
		return nsdk_fail(-EIO, "nvme",
				 "%s: BAR %u, the persistent memory region's, has the MSI-X table in it, or cannot "
				 "be mapped as a whole; the region cannot be used", name,
				 (unsigned)NSDK_NVME_PMRCAP_BIR(cap));
	pmr->cap = cap;
	pmr->losses_then = nsdk_nvme_pmr_losses(ctrlr);
	atomic_store_explicit(&pmr->losses_told, pmr->losses_then, memory_order_relaxed);
	pmr->deadline_ns = nsdk_clock_ns() + ready_ns(cap);
	nvme_write32(ctrlr, NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
	/* Release: who sees it sees where it is. */
	atomic_store_explicit(&pmr->enabled, true, memory_order_release);
	return 0;
}

int nsdk_nvme_pmr_map_poll(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_pmr *out)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	struct nvme_pmr *pmr = &ctrlr->pmr;
	/* Before the look, as this thread may be held up behind it for as long as it likes. */
	uint64_t now_ns = nsdk_clock_ns();
	enum nsdk_nvme_pmr_health health;
	uint32_t status;

	if (!atomic_load_explicit(&pmr->enabled, memory_order_relaxed))
		return nsdk_fail(-EINVAL, "nvme", "%s: its persistent memory region is not being mapped", name);
	nsdk_device_poll(ctrlr->dev);
	status = nvme_read32(ctrlr, NSDK_NVME_REG_PMRSTS);
	if (status == UINT32_MAX) {
		atomic_store_explicit(&pmr->enabled, false, memory_order_relaxed);
		return nsdk_nvme_ctrlr_gone(ctrlr);
	}
	if (status & NSDK_NVME_PMRSTS_NRDY) {
		if (now_ns < pmr->deadline_ns)
			return -EAGAIN;
		nsdk_nvme_pmr_unmap(ctrlr);
		return nsdk_fail(-ETIMEDOUT, "nvme",
				 "%s: the persistent memory region did not get ready within %llu ms (PMRSTS "
				 "%08xh)", name, (unsigned long long)(ready_ns(pmr->cap) / NVME_NS_PER_MS),
				 status);
	}
	health = NSDK_NVME_PMRSTS_HSTS(status);
	if (health != NSDK_NVME_PMR_NORMAL || NSDK_NVME_PMRSTS_ERR(status))
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: the persistent memory region is not well: %s (PMRSTS %08xh); do not trust it "
			 "with anything new", name, nsdk_nvme_pmr_health_text(health), status);
	*out = (struct nsdk_nvme_pmr){
		.base = pmr->bar.base,
		.bytes = pmr->bar.bytes,
		.health = health,
		.losses = pmr->losses_then,
	};
	return 0;
}

int nsdk_nvme_pmr_map(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_pmr *out)
{
	int err = nsdk_nvme_pmr_map_start(ctrlr);
	unsigned looks = 0;

	if (err)
		return err;
	while ((err = nsdk_nvme_pmr_map_poll(ctrlr, out)) == -EAGAIN)
		nsdk_nvme_relax(&looks);
	return err;
}

unsigned nsdk_nvme_pmr_losses(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return atomic_load_explicit(&ctrlr->pmr.losses, memory_order_relaxed);
}

/* Whether what is stored lasts, by its status. @p lost: a reset has disabled it since it was mapped. */
static bool is_well(uint32_t status, bool lost)
{
	enum nsdk_nvme_pmr_health health = NSDK_NVME_PMRSTS_HSTS(status);

	if (NSDK_NVME_PMRSTS_ERR(status))
		return false;
	/* One that it was mapped with is of what had been stored before. */
	return health == NSDK_NVME_PMR_NORMAL || (health == NSDK_NVME_PMR_RESTORE_ERROR && !lost);
}

int nsdk_nvme_pmr_flush(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_pmr *pmr = &ctrlr->pmr;
	const char *name = nsdk_device_name(ctrlr->dev);
	uint32_t status;
	unsigned losses;

	/* Acquire, against nsdk_nvme_pmr_map_start(): where it is. */
	if (!atomic_load_explicit(&pmr->enabled, memory_order_acquire))
		return -EINVAL;
	/* This thread's stores into the region, before the read that waits for them: see the top. */
	full_barrier();
	if (pmr->cap & NSDK_NVME_PMRCAP_WB_READ)
		(void)*(volatile const uint32_t *)pmr->bar.base;
	/* By now they last, or this read is what makes them; it is also what says whether it went well. */
	status = nvme_read32(ctrlr, NSDK_NVME_REG_PMRSTS);
	if (status == UINT32_MAX)
		return -ENODEV;
	/* Disabled it takes no stores, and need not say that it is not ready. */
	if ((status & NSDK_NVME_PMRSTS_NRDY) ||
	    !(nvme_read32(ctrlr, NSDK_NVME_REG_PMRCTL) & NSDK_NVME_PMRCTL_EN))
		return -EAGAIN;
	/* Behind these reads, and so behind all that nsdk_nvme_pmr_restore() did before it enabled it. */
	losses = atomic_load_explicit(&pmr->losses, memory_order_acquire);
	if (!is_well(status, losses != pmr->losses_then))
		return nsdk_fail(-EIO, "nvme",
				 "%s: the persistent memory region reports an error: %s (PMRSTS %08xh); what was "
				 "stored into it may be lost", name,
				 nsdk_nvme_pmr_health_text(NSDK_NVME_PMRSTS_HSTS(status)), status);
	if (atomic_exchange_explicit(&pmr->losses_told, losses, memory_order_relaxed) != losses)
		return nsdk_fail(-EIO, "nvme",
				 "%s: a reset has disabled the persistent memory region for a while; what was "
				 "stored since the last flush may be lost: store it again", name);
	return 0;
}

int nsdk_nvme_pmr_unmap(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (!atomic_exchange_explicit(&ctrlr->pmr.enabled, false, memory_order_relaxed))
		return -EINVAL;
	nvme_write32(ctrlr, NSDK_NVME_REG_PMRCTL, 0);
	return 0;
}

/* A reset is under way that may have disabled it. */
void nsdk_nvme_pmr_restore(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (!atomic_load_explicit(&ctrlr->pmr.enabled, memory_order_relaxed) ||
	    (nvme_read32(ctrlr, NSDK_NVME_REG_PMRCTL) & NSDK_NVME_PMRCTL_EN))
		return;
	/* Release, and before the write: who finds it ready again finds this. */
	atomic_fetch_add_explicit(&ctrlr->pmr.losses, 1, memory_order_release);
	nvme_write32(ctrlr, NSDK_NVME_REG_PMRCTL, NSDK_NVME_PMRCTL_EN);
}
