/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe driver: controllers.
 *
 * Model. A controller has an admin queue (admin.c), used rarely and with deadlines, and any number of
 * queue pairs (qpair.c), used all the time and without. A command in flight is known by a tracker;
 * its command id is the index of it, so a completion leads to its tracker without a search, and that
 * one cache line holds all that completing needs. An I/O takes one of three ways:
 *
 *   short    one piece, at most two pages, not at the very end of the namespace: io.c fills the SQE
 *            and the tracker in one go, a page aligned page in the fewest instructions of all.
 *            Whatever it does not like goes the next way.
 *   general  one command with a PRP list (prp.c) or an SGL (sgl.c), or a scattered payload.
 *   split    several commands (split.c), because of MDTS or because of where the pieces lie.
 *
 * Collected SQEs go out with one doorbell, at the next submit or poll. A poll looks at one word of
 * attention bits and at one completion slot, and everything unusual (SQEs to send, a model to run, a
 * device that bypasses the caches, a failed controller) is a bit in that word (poll.c).
 *
 * No-snoop. The device may bypass the caches on anything, so queues, PRP lists and Identify data are
 * synced like data. Each queue pair has two flush batches. Lines for the device (payload, PRP lists,
 * SQEs) are written back with one fence before the doorbell. A poll takes back the line of the
 * completion slot, reads it, takes back the payloads of all that is complete with one fence, and only
 * then runs callbacks. The CPU never writes completion slots, so those lines are never dirty.
 *
 * Deadlines and failure. A queue pair finds out by itself that a command takes too long (deadline.c);
 * what is done about it, and about a controller that says it has failed, is done by the thread that
 * polls the controller, one step a poll (recover.c).
 *
 * The end. Whoever finds out that the controller lies, cannot be mended or is gone takes it out: it says so
 * once, turns bus mastering off so that no DMA comes any more, and marks the controller failed. Each
 * queue pair's own thread sees the mark (at once, or after some thousand empty polls) and completes
 * what is outstanding with "Path: Internal Path Error", exactly once each; the buffers are the user's
 * again.
 *
 * Lifetimes. Queue pairs live inside a controller, namespaces exactly as long as it. Memory that a
 * device can reach is freed only once the controller is disabled and bus mastering is off.
 *
 * Threading. A queue pair belongs to one thread at a time. Everything else of a controller (attach,
 * detach, poll, making and destroying queue pairs) is serialised by the caller.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <nsdk/env.h>

#include "lib/env/opts.h"

/* So many looks of a wait follow each other closely: some milliseconds. */
#define CLOSE_LOOKS 2000u

/*
 * Between two looks of a wait, of which there have been so many. Lets others run: a model's thread may need
 * this very CPU. A device that takes its time (a reset, a format) is looked at less often.
 */
void nsdk_nvme_relax(unsigned *looks)
{
	static const struct timespec nap = { .tv_nsec = 50000 };

	if (*looks < CLOSE_LOOKS) {
		++*looks;
		sched_yield();
	} else {
		nanosleep(&nap, NULL);
	}
}

/* 0, or why the controller was taken out; the device does no DMA any more then. */
int nsdk_nvme_ctrlr_failed(struct nsdk_nvme_ctrlr *ctrlr)
{
	/* Pairs with the release in nsdk_nvme_ctrlr_fail(): who sees it may give buffers back. */
	return __atomic_load_n(&ctrlr->failed, __ATOMIC_ACQUIRE);
}

/* Ends the device's DMA, now. */
void nsdk_nvme_ctrlr_quiesce(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (!ctrlr->bus_master)
		return;
	ctrlr->bus_master = false;
	/*
	 * A config write is answered, and its answer pushes the device's earlier writes ahead of itself,
	 * so nothing is under way behind this. One that the kernel wants back counts as gone and yet is
	 * there, with its DMA, so that makes no difference here. A function that cannot even be
	 * configured is reset; if that fails as well it is off the bus, and the IOMMU is what is left.
	 */
	if (nsdk_device_set_bus_master(ctrlr->dev, false) != 0 && !nsdk_device_is_gone(ctrlr->dev))
		nsdk_device_reset(ctrlr->dev);
}

/* Takes the controller out; the first to say so counts. @return why it is out. Any thread. */
int nsdk_nvme_ctrlr_fail(struct nsdk_nvme_ctrlr *ctrlr, int error, const char *format, ...)
{
	char why[400];
	va_list args;

	pthread_mutex_lock(&ctrlr->lock);
	if (ctrlr->failed) {
		error = ctrlr->failed;
		pthread_mutex_unlock(&ctrlr->lock);
		return error;
	}
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	/* That a device has vanished is the bus's to say, and whatever was found follows from it. */
	if (nsdk_device_is_gone(ctrlr->dev))
		error = -ENODEV;
	else
		nsdk_fail(error, "nvme", "%s: %s", nsdk_device_name(ctrlr->dev), why);
	nsdk_nvme_ctrlr_quiesce(ctrlr);
	/*
	 * Release: whoever sees the failure also sees that DMA has ended, and may hand buffers back to
	 * their owners.
	 */
	__atomic_store_n(&ctrlr->failed, error, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&ctrlr->lock);
	/* Queue pairs that sleep are to see it, too. */
	nsdk_nvme_irqs_wake(ctrlr);
	return error;
}

/* A register read all ones. */
int nsdk_nvme_ctrlr_gone(struct nsdk_nvme_ctrlr *ctrlr)
{
	return nsdk_nvme_ctrlr_fail(ctrlr, -ENODEV,
				    "the controller's registers read all ones, so it is off the bus or "
				    "powered down");
}

/* Looks at the status register. @return 0; why the controller is out. Any thread. */
int nsdk_nvme_ctrlr_health(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = nsdk_nvme_ctrlr_failed(ctrlr);
	uint32_t csts;

	/* What is wrong is known then, and its registers read as they like. */
	if (err || atomic_load_explicit(&ctrlr->recovery.reset_wanted, memory_order_acquire))
		return err;
	csts = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS);
	if (csts == UINT32_MAX)
		return nsdk_nvme_ctrlr_gone(ctrlr);
	if (csts & NSDK_NVME_CSTS_CFS)
		return nsdk_nvme_ctrlr_trouble(ctrlr, -EIO,
					       "the controller reports a fatal status (CSTS %08xh)",
					       csts);
	/* Not every bridge answers with ones for a device that is not there: some with zeroes. */
	if (!(csts & NSDK_NVME_CSTS_RDY) && nsdk_device_check(ctrlr->dev))
		return nsdk_nvme_ctrlr_gone(ctrlr);
	if (!(csts & NSDK_NVME_CSTS_RDY))
		return nsdk_nvme_ctrlr_trouble(ctrlr, -EIO,
					       "the controller is no longer ready (CSTS %08xh), as if "
					       "somebody else had reset it", csts);
	return 0;
}

/* Frees whatever has been made; the controller is disabled, was never enabled, or is gone. */
void nsdk_nvme_ctrlr_free(struct nsdk_nvme_ctrlr *ctrlr)
{
	nsdk_nvme_recover_end(ctrlr);
	nsdk_nvme_ctrlr_quiesce(ctrlr);
	nsdk_nvme_admin_abort(ctrlr);
	nsdk_nvme_pmr_unmap(ctrlr);
	nsdk_nvme_cmb_destroy(ctrlr);
	nsdk_nvme_irqs_destroy(ctrlr);
	/* Out of the device's reach first, then freed. */
	if (ctrlr->mem_attached)
		nsdk_mem_detach(ctrlr->mem, ctrlr->dev);
	if (ctrlr->pool) {
		nsdk_nvme_admin_destroy(ctrlr);
		nsdk_nvme_hmb_destroy(ctrlr);
		nsdk_nvme_shadow_destroy(ctrlr);
		nsdk_dma_free(ctrlr->pool, ctrlr->id_buffer);
		nsdk_dma_pool_destroy(ctrlr->pool);
	}
	nsdk_nvme_ns_free_all(ctrlr);
	nsdk_coherence_destroy(ctrlr->coh);
	free(ctrlr->qpairs);
	pthread_mutex_destroy(&ctrlr->lock);
	free(ctrlr);
}

static int take_opts(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_opts *opts)
{
	struct nsdk_nvme_opts *own = &ctrlr->opts;
	int err = nsdk_opts_take(own, sizeof(*own), opts, "nvme");

	if (err)
		return err;
	if (!own->io_queues)
		own->io_queues = 16;
	if (!own->admin_entries)
		own->admin_entries = 64;
	if (!own->admin_timeout_ns)
		own->admin_timeout_ns = 10 * NVME_NS_PER_S;
	if (!own->io_timeout_ns)
		own->io_timeout_ns = 30 * NVME_NS_PER_S;
	if (!own->max_resets)
		own->max_resets = 3;
	if (own->cmb & ~(NSDK_NVME_CMB_SQ | NSDK_NVME_CMB_DATA))
		return nsdk_fail(-EINVAL, "nvme", "%s: cmb is %xh, which says something unknown",
				 nsdk_device_name(ctrlr->dev), own->cmb);
	/* Number of Queues is a 16-bit field, and FFFFh is reserved (Base 5.27.1.5). */
	if (own->io_queues > 65535)
		return nsdk_fail(-EINVAL, "nvme", "%s: %u I/O queues were asked for; 65535 is the most",
				 nsdk_device_name(ctrlr->dev), own->io_queues);
	/* AQA has 12 bits for each size, 0's based. */
	if (own->admin_entries < 2 || own->admin_entries > 4096)
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: an admin queue of %u entries was asked for; it can have 2 to 4096",
				 nsdk_device_name(ctrlr->dev), own->admin_entries);
	return nsdk_nvme_arb_take_opts(ctrlr, own);
}

/*
 * Whether the function says that it is an NVMe controller: what it does to another device's registers
 * nobody knows. (PCI Code and ID Assignment, class 01h, sub-class 08h, interface 02h.)
 */
static int check_class(struct nsdk_device *dev)
{
	uint32_t revision_and_class;
	int err;

	err = nsdk_device_cfg_read(dev, PCI_CLASS_REVISION, 4, &revision_and_class);
	if (err)
		return err;
	if (revision_and_class >> 8 != NVME_CLASS_CODE)
		return nsdk_fail(-ENODEV, "nvme",
				 "%s is not an NVMe controller (its class is %06xh, not %06xh); 'nsdk list' "
				 "shows those there are", nsdk_device_name(dev), revision_and_class >> 8,
				 NVME_CLASS_CODE);
	return 0;
}

int nsdk_nvme_attach_start(struct nsdk_device *dev, struct nsdk_mem *mem,
			   const struct nsdk_nvme_opts *opts, struct nsdk_nvme_ctrlr **out)
{
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts) };
	struct nsdk_nvme_ctrlr *ctrlr;
	int err;

	*out = NULL;
	err = check_class(dev);
	if (err)
		return err;
	ctrlr = calloc(1, sizeof(*ctrlr));
	if (!ctrlr)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a controller",
				 nsdk_device_name(dev));
	ctrlr->dev = dev;
	ctrlr->mem = mem;
	ctrlr->admin.irq.vector = -1;
	pthread_mutex_init(&ctrlr->lock, NULL);
	nsdk_nvme_irqs_init(ctrlr);

	err = take_opts(ctrlr, opts);
	if (err)
		goto free_ctrlr;
	ctrlr->qpairs = calloc(ctrlr->opts.io_queues + 1u, sizeof(struct nsdk_nvme_qpair *));
	if (!ctrlr->qpairs) {
		err = nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u queues",
				nsdk_device_name(dev), ctrlr->opts.io_queues);
		goto free_ctrlr;
	}
	err = nsdk_device_bar(dev, 0, &ctrlr->bar);
	if (err)
		goto free_ctrlr;
	/* Before bus mastering is on: it decides whether the device may bypass the caches. */
	err = nsdk_coherence_create(dev, ctrlr->opts.policy, &ctrlr->coh);
	if (err)
		goto free_ctrlr;
	err = nsdk_mem_attach(mem, dev, ctrlr->coh);
	if (err)
		goto free_ctrlr;
	ctrlr->mem_attached = true;
	/* What it points to stays as it is until the detach. */
	ctrlr->own_map = *nsdk_mem_map_of(mem, dev);
	ctrlr->map = &ctrlr->own_map;

	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	pool_opts.numa_node = nsdk_device_numa_node(dev);
	err = nsdk_dma_pool_create(mem, &pool_opts, &ctrlr->pool);
	if (err)
		goto free_ctrlr;
	/* A second page for the list of changed namespaces (aer.c). */
	err = nsdk_nvme_dma_get(ctrlr, 2 * NVME_PAGE_BYTES, NVME_PAGE_BYTES, "Identify data",
				&ctrlr->id_buffer, &ctrlr->id_iova);
	if (err)
		goto free_ctrlr;
	err = nsdk_nvme_init_begin(ctrlr);
	if (err)
		goto free_ctrlr;
	err = nsdk_nvme_admin_create(ctrlr);
	if (err)
		goto free_ctrlr;
	/* Before the controller is enabled: there are some that look then whether there is MSI-X. */
	if (ctrlr->opts.interrupts)
		nsdk_nvme_irq_take_admin(ctrlr);
	*out = ctrlr;
	return 0;

free_ctrlr:
	nsdk_nvme_ctrlr_free(ctrlr);
	return err;
}

int nsdk_nvme_attach_poll(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (ctrlr->state <= NVME_STATE_READY) {
		int err = nsdk_nvme_init_step(ctrlr);

		if (err == 0 || err == -EAGAIN)
			return err;
		nsdk_nvme_stop_begin(ctrlr, err);
	}
	return nsdk_nvme_shutdown_step(ctrlr);
}

int nsdk_nvme_attach(struct nsdk_device *dev, struct nsdk_mem *mem,
		     const struct nsdk_nvme_opts *opts, struct nsdk_nvme_ctrlr **out)
{
	struct nsdk_nvme_ctrlr *ctrlr;
	unsigned looks = 0;
	int err;

	*out = NULL;
	err = nsdk_nvme_attach_start(dev, mem, opts, &ctrlr);
	if (err)
		return err;
	for (;;) {
		err = nsdk_nvme_attach_poll(ctrlr);
		if (err != -EAGAIN)
			break;
		nsdk_nvme_relax(&looks);
	}
	if (!err)
		*out = ctrlr;
	return err;
}

int nsdk_nvme_detach_start(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (ctrlr->qpair_count)
		return nsdk_fail(-EBUSY, "nvme",
				 "%s: %u queue pairs are left; destroy them before the controller is "
				 "detached", nsdk_device_name(ctrlr->dev), ctrlr->qpair_count);
	if (ctrlr->group) {
		int err = nsdk_nvme_poll_group_remove_ctrlr(ctrlr->group, ctrlr);

		if (err)
			return err;
	}
	nsdk_nvme_shutdown_begin(ctrlr);
	return 0;
}

int nsdk_nvme_detach_poll(struct nsdk_nvme_ctrlr *ctrlr)
{
	return nsdk_nvme_shutdown_step(ctrlr);
}

int nsdk_nvme_detach(struct nsdk_nvme_ctrlr *ctrlr)
{
	unsigned looks = 0;
	int err;

	if (!ctrlr)
		return 0;
	err = nsdk_nvme_detach_start(ctrlr);
	if (err)
		return err;
	for (;;) {
		err = nsdk_nvme_detach_poll(ctrlr);
		if (err != -EAGAIN)
			return err;
		nsdk_nvme_relax(&looks);
	}
}

/*
 * What nsdk_nvme_ctrlr_poll() is for. The status register, which is slow to read, is looked at now and
 * then at least.
 *
 * @param health  now.
 */
int nsdk_nvme_ctrlr_look(struct nsdk_nvme_ctrlr *ctrlr, bool health)
{
	uint64_t now_ns = nsdk_clock_ns();
	int handled, err;

	atomic_store_explicit(&ctrlr->polled_ns, now_ns, memory_order_relaxed);
	/* A reset polls the admin queue itself, as far as there is one. */
	handled = nvme_resetting(ctrlr) ? 0 : nsdk_nvme_admin_poll(ctrlr);
	if (handled < 0)
		return handled;
	/* The kernel waits with a removal until the device is detached, so it has to be asked. */
	if (now_ns >= ctrlr->check_ns) {
		ctrlr->check_ns = now_ns + NVME_CHECK_NS;
		if (nsdk_device_check(ctrlr->dev))
			return nsdk_nvme_ctrlr_gone(ctrlr);
		health = true;
	}
	err = health ? nsdk_nvme_ctrlr_health(ctrlr) : nsdk_nvme_ctrlr_failed(ctrlr);
	if (!err)
		err = nsdk_nvme_recover(ctrlr);
	return err && err != -EAGAIN ? err : handled;
}

int nsdk_nvme_ctrlr_poll(struct nsdk_nvme_ctrlr *ctrlr)
{
	return nsdk_nvme_ctrlr_look(ctrlr, true);
}

const struct nsdk_nvme_id_ctrl *nsdk_nvme_ctrlr_data(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return &ctrlr->id;
}

uint64_t nsdk_nvme_ctrlr_cap(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->cap;
}

uint32_t nsdk_nvme_ctrlr_version(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->vs;
}

size_t nsdk_nvme_ctrlr_max_transfer_bytes(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->max_transfer_bytes;
}

unsigned nsdk_nvme_ctrlr_max_io_queues(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->io_queues;
}

struct nsdk_coherence *nsdk_nvme_ctrlr_coherence(struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->coh;
}

struct nsdk_device *nsdk_nvme_ctrlr_device(struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->dev;
}

enum nsdk_dma_attr nsdk_nvme_ctrlr_dma_attr(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return nsdk_coherence_active(ctrlr->coh) ? NSDK_DMA_NOSNOOP : NSDK_DMA_COHERENT;
}
