/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The no-snoop engine of one device.
 *
 * Model. Every PCI Express memory request carries a No Snoop attribute. Without it the root complex
 * asks the CPU caches first, and memory is coherent. With it the caches may be passed by: the device
 * reads what memory holds, even if a cache has newer data (a "dirty" line), and writes to memory,
 * even if a cache has a copy (then "stale"). An IOMMU can force snooping whatever the device asks
 * for; lib/iommu finds out and calls it the verdict. The engine combines the verdict with what the
 * user wants, the policy, into one constant: is it active or not.
 *
 *	policy    verdict     Enable No Snoop               engine
 *	coherent  enforced    left alone                    inactive
 *	coherent  otherwise   cleared; stays 1: refused     inactive
 *	auto      permitted   set; stays 0: as coherent     active, unless coherent was measured
 *	                                                    to be better for this device
 *	auto      otherwise   as coherent                   inactive
 *	nosnoop   permitted   set; stays 0: said            active
 *	nosnoop   otherwise   refused                       -
 *
 * `unknown` is treated as not permitted, and as not enforced: the bit is cleared, and no-snoop is
 * refused. `refused` (no IOMMU) is refused under every policy.
 *
 * Why a bit that stays 1 is refused under coherent, and the engine not made active instead: syncs
 * keep the driver's own buffers right, which own whole lines. A coherent device's memory need not:
 * applications poll words that share lines with others, and write beside what the device writes. No
 * sync can mend that, so the one way out is the user's: take policy nosnoop knowingly (where the
 * verdict permits it), or an IOMMU that enforces.
 *
 * Ownership. A range belongs to the CPU or to the device. nsdk_sync_for_device() and a batch's
 * commit give it to the device: nothing of it is dirty in any cache afterwards, and if the device
 * is going to write, nothing of it is cached. nsdk_sync_for_cpu() gives it back: the next load comes
 * from memory. In between, the CPU does not touch its lines.
 *
 * Files. coherence.c decides; ens.c has the bit; batch.c and sync.c give and take ranges; lines.c
 * picks the cache instructions, which are in lines_x86.c or lines_aarch64.c only.
 *
 * Lifetimes. The engine lives between attach and detach of its device; batches live inside that.
 * Threading. Create, after_reset and destroy: the attaching thread. Syncs: any thread. A batch: one
 * thread at a time. What the I/O path reads of the engine is constant.
 *
 * Vocabulary. Write back: a dirty line goes to memory and may stay cached. Invalidate: write back,
 * then drop; never drop dirty data. Fence: orders line operations, see lines_x86.c for against whom.
 * Commit: line operations of a batch and its one fence. Fresh page: one the kernel just zeroed, in
 * the cache only; memory may still hold another process's data.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>
#include <nsdk/tune.h>

#include "engine.h"
#include "flusher.h"
#include "lib/bus/bus_internal.h"
#include "lines.h"

/*
 * Whether lines of NSDK_LINE_BYTES can be kept apart on this CPU. The line operations work on any
 * CPU; but where an eviction overwrites more than a line of ours, two owners of neighbouring lines
 * are in fact owners of one.
 */
static bool lines_fit(char *why, size_t why_bytes)
{
	unsigned bytes = nsdk_lines_eviction_bytes();

	if (bytes == 0)
		snprintf(why, why_bytes, "the CPU does not say how long its cache lines are");
	else if (bytes > NSDK_LINE_BYTES)
		snprintf(why, why_bytes, "the CPU's cache lines are %u bytes, and buffers are laid "
			 "out for %u", bytes, NSDK_LINE_BYTES);
	return bytes != 0 && bytes <= NSDK_LINE_BYTES;
}

/* Keep the device from using No Snoop, unless the IOMMU sees to that. */
static int make_coherent(struct nsdk_coherence *coh)
{
	bool sticks;
	int err;

	if (coh->verdict == NSDK_SNOOP_ENFORCED)
		return 0;
	err = nsdk_ens_set(&coh->ens, false, &sticks);
	if (err)
		return err;
	if (!sticks && coh->ens.vf)
		return nsdk_fail(-EIO, "coherence",
				 "%s: the IOMMU does not enforce snooping (verdict %s), and Enable No Snoop "
				 "of its physical function %s; clear it there: setpci -s "
				 "\"$(basename $(realpath /sys/bus/pci/devices/%s/physfn))\" "
				 "CAP_EXP+8.w=0:0800",
				 nsdk_device_name(coh->dev), nsdk_snoop_state_name(coh->verdict),
				 coh->ens.pf == NSDK_ENS_OF_PF_SET ? "is set" :
								     "cannot be read (that takes root)",
				 nsdk_device_name(coh->dev) + strlen("pci:"));
	if (!sticks)
		return nsdk_fail(-EIO, "coherence",
				 "%s: its Enable No Snoop bit cannot be cleared and the IOMMU does not "
				 "enforce snooping (verdict %s), so coherent DMA cannot be had; %s",
				 nsdk_device_name(coh->dev), nsdk_snoop_state_name(coh->verdict),
				 coh->verdict == NSDK_SNOOP_PERMITTED ?
					 "use policy nosnoop" :
					 "move it behind an IOMMU that enforces snooping");
	return 0;
}

/* Why the device may never use No Snoop. */
static const char *why_never(const struct nsdk_ens *ens)
{
	if (ens->vf)
		return "Enable No Snoop of its physical function is not known to be set";
	return ens->devctl ? "its Enable No Snoop bit stays 0" : "it has no Enable No Snoop bit";
}

/* Let the device use No Snoop. *on: whether the bit says that it may. */
static int make_nosnoop(struct nsdk_coherence *coh, enum nsdk_policy policy, bool *on)
{
	const char *name = nsdk_device_name(coh->dev);
	int err;

	err = nsdk_ens_set(&coh->ens, true, on);
	if (err || *on)
		return err;
	if (policy == NSDK_POLICY_NOSNOOP)
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "%s: %s, so the device may never bypass the caches; its buffers are synced as if "
			 "it did", name, why_never(&coh->ens));
	else
		nsdk_log(NSDK_LOG_NOTICE, "coherence", "%s: coherent, since %s", name,
			 why_never(&coh->ens));
	return 0;
}

/* Whether `nsdk tune device` has found so. No record, or none that can be read, is none. */
static bool coherent_is_better(struct nsdk_device *dev)
{
	struct nsdk_profile *profile = NULL;
	char key[NSDK_TUNE_KEY_BYTES];
	const struct nsdk_tune_device *record;
	bool better = false;

	if (nsdk_profile_load(&profile) == 0 && profile && nsdk_tune_device_key(dev, key) == 0 &&
	    nsdk_profile_auto_policy(profile, key) == NSDK_POLICY_COHERENT) {
		record = nsdk_profile_device(profile, key);
		better = true;
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "%s: coherent, since that was measured to be better (%s); nsdk tune device "
			 "measures again", nsdk_device_name(dev), record->reason);
	}
	nsdk_profile_free(profile);
	return better;
}

static int decide(struct nsdk_coherence *coh, enum nsdk_policy policy)
{
	const struct nsdk_snoop_verdict *verdict = nsdk_device_verdict(coh->dev);
	const char *name = nsdk_device_name(coh->dev);
	char why[sizeof(verdict->reason) + 64] = "";
	bool possible, on;
	int err;

	coh->verdict = verdict->state;
	if (verdict->state == NSDK_SNOOP_REFUSED)
		return nsdk_fail(-EOPNOTSUPP, "coherence",
				 "%s: refused, since no IOMMU protects memory from it (%s)", name,
				 verdict->reason);
	if (verdict->state != NSDK_SNOOP_ENFORCED) {
		err = nsdk_ens_find(coh->dev, &coh->ens);
		if (err)
			return err;
	}
	if (policy == NSDK_POLICY_COHERENT)
		return make_coherent(coh);

	possible = verdict->state == NSDK_SNOOP_PERMITTED;
	if (verdict->state == NSDK_SNOOP_ENFORCED)
		snprintf(why, sizeof(why), "%s", verdict->reason); /* says that it is, and how it is known */
	else if (!possible)
		snprintf(why, sizeof(why), "it is unknown whether the IOMMU enforces snooping (%s)",
			 verdict->reason);
	else
		possible = lines_fit(why, sizeof(why));
	if (!possible && policy == NSDK_POLICY_NOSNOOP)
		return nsdk_fail(-EOPNOTSUPP, "coherence",
				 "%s: policy nosnoop is refused, since %s; use policy coherent or auto",
				 name, why);
	if (!possible) {
		nsdk_log(NSDK_LOG_NOTICE, "coherence", "%s: coherent, since %s", name, why);
		return make_coherent(coh);
	}
	if (policy == NSDK_POLICY_AUTO && coherent_is_better(coh->dev))
		return make_coherent(coh);
	err = make_nosnoop(coh, policy, &on);
	if (err)
		return err;
	if (policy == NSDK_POLICY_AUTO && !on)
		/* A PCI-X or virtual function must not pass for one that cannot: its bit is not seen. */
		return make_coherent(coh);
	coh->active = true;
	return 0;
}

int nsdk_coherence_create(struct nsdk_device *dev, enum nsdk_policy policy,
			  struct nsdk_coherence **out)
{
	struct nsdk_coherence *coh;
	int err;

	*out = NULL;
	if ((unsigned)policy > NSDK_POLICY_NOSNOOP)
		return nsdk_fail(-EINVAL, "coherence", "%s: there is no policy number %u",
				 nsdk_device_name(dev), (unsigned)policy);
	coh = aligned_alloc(NSDK_LINE_BYTES, sizeof(*coh));
	if (!coh)
		return nsdk_fail(-ENOMEM, "coherence", "%s: no memory for its no-snoop engine",
				 nsdk_device_name(dev));
	memset(coh, 0, sizeof(*coh));
	coh->dev = dev;
	coh->ops = dev->line_ops ? dev->line_ops : nsdk_line_ops_cpu();
	pthread_mutex_init(&coh->lock, NULL);
	LIST_INIT(&coh->batches);

	err = decide(coh, policy);
	if (err)
		goto restore_ens;
	if (coh->active) {
		coh->flusher = nsdk_flusher_hold();
		coh->proves = nsdk_flusher_prove(coh->flusher, coh);
	}
	*out = coh;
	return 0;

restore_ens:
	nsdk_ens_restore(&coh->ens);
	pthread_mutex_destroy(&coh->lock);
	free(coh);
	return err;
}

int nsdk_coherence_after_reset(struct nsdk_coherence *coh)
{
	bool sticks;

	if (!coh->active)
		return make_coherent(coh);
	/* Whether it sticks was said when the engine was made, and nothing depends on it. */
	return nsdk_ens_set(&coh->ens, true, &sticks);
}

void nsdk_coherence_destroy(struct nsdk_coherence *coh)
{
	struct nsdk_flush_batch *batch;

	if (!coh)
		return;
	if (!LIST_EMPTY(&coh->batches))
		nsdk_log(NSDK_LOG_ERROR, "coherence",
			 "%s: the engine is destroyed before its flush batches; destroy every batch first",
			 nsdk_device_name(coh->dev));
	for (batch = LIST_FIRST(&coh->batches); batch; batch = nsdk_flush_batch_next(batch))
		nsdk_flush_batch_orphan(batch);
	if (coh->proves)
		nsdk_flusher_withdraw(coh->flusher, coh);
	if (coh->active)
		nsdk_flusher_release(coh->flusher);
	nsdk_ens_restore(&coh->ens);
	pthread_mutex_destroy(&coh->lock);
	free(coh);
}

bool nsdk_coherence_active(const struct nsdk_coherence *coh)
{
	return coh->active;
}

enum nsdk_policy nsdk_coherence_effective(const struct nsdk_coherence *coh)
{
	return coh->active ? NSDK_POLICY_NOSNOOP : NSDK_POLICY_COHERENT;
}

const struct nsdk_line_ops *nsdk_coherence_line_ops(const struct nsdk_coherence *coh)
{
	return coh->ops;
}

/* Batches have copies of it, which spares the I/O path a load. */
static void replace_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow)
{
	struct nsdk_flush_batch *batch;

	pthread_mutex_lock(&coh->lock);
	coh->shadow = *shadow;
	for (batch = LIST_FIRST(&coh->batches); batch; batch = nsdk_flush_batch_next(batch))
		nsdk_flush_batch_set_shadow(batch, shadow);
	pthread_mutex_unlock(&coh->lock);
}

bool nsdk_coherence_set_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow)
{
	if (coh->shadow.bytes == 0)
		replace_shadow(coh, shadow);
	return coh->shadow.clean == shadow->clean;
}

void nsdk_coherence_drop_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow)
{
	static const struct nsdk_shadow nothing;

	if (coh->shadow.clean == shadow->clean)
		replace_shadow(coh, &nothing);
}

bool nsdk_coherence_flush_fresh(const struct nsdk_coherence *coh)
{
	return coh->verdict != NSDK_SNOOP_ENFORCED;
}

void nsdk_coherence_counts_add(const struct nsdk_coherence_counts *counts,
			       struct nsdk_coherence_stats *sum)
{
	sum->batches += atomic_load_explicit(&counts->batches, memory_order_relaxed);
	sum->lines_written_back +=
		atomic_load_explicit(&counts->lines_written_back, memory_order_relaxed);
	sum->lines_invalidated +=
		atomic_load_explicit(&counts->lines_invalidated, memory_order_relaxed);
	sum->bytes_skipped_clean +=
		atomic_load_explicit(&counts->bytes_skipped_clean, memory_order_relaxed);
	sum->wbinvd += atomic_load_explicit(&counts->wbinvd, memory_order_relaxed);
	sum->batches_shared += atomic_load_explicit(&counts->batches_shared, memory_order_relaxed);
	sum->batches_tried += atomic_load_explicit(&counts->batches_tried, memory_order_relaxed);
}

void nsdk_coherence_stats(struct nsdk_coherence *coh, struct nsdk_coherence_stats *out)
{
	struct nsdk_flush_batch *batch;

	pthread_mutex_lock(&coh->lock);
	*out = coh->retired;
	nsdk_coherence_counts_add(&coh->sync, out);
	for (batch = LIST_FIRST(&coh->batches); batch; batch = nsdk_flush_batch_next(batch))
		nsdk_coherence_counts_add(nsdk_flush_batch_counts(batch), out);
	pthread_mutex_unlock(&coh->lock);
}
