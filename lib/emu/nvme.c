/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An NVMe controller in this process.
 *
 * What it is: a PCI function with config space, registers, doorbells and MSI-X, and behind them a
 * controller that follows the NVM Express Base Specification 2.0 and the NVM Command Set
 * Specification 1.0 for all it offers. What is optional there and missing here is reported as
 * missing, and refused with the status the specification gives for that.
 *
 * How it is driven: control registers come in by calls (nvme_regs.c, nvme_config.c). Doorbells are
 * plain memory in BAR 0, and a turn (nvme_queue.c) compares them with what it saw last. Somebody
 * has to give it turns: the host's lcore that polls its queues, or a thread of the model's own
 * (thread=1).
 *
 * How it reaches memory: by IOVA through model.dma only, and only while config space has bus
 * mastering on. Every access says whether it asks to go past the caches: with nosnoop=data the data
 * of commands, with nosnoop=all also submission and completion entries and PRP lists. A completion
 * that the host has consumed (its head doorbell moved past it) makes the model declare what that
 * command wrote as consumed, so that the cache model can tell whether the host took it back first.
 *
 * Who may do what at the same time. A completion queue, and all submission queues that complete to
 * it, are one domain with one lock; a turn tries that lock and leaves the domain alone when another
 * thread has it, so any number of threads may poll. Locks are taken in this order:
 *
 *	registers	register and config space writes; whoever takes all queues at once
 *	cqs[0].lock	the admin queue and all that admin commands change
 *	cqs[n].lock	one other at a time, but for emu_nvme_freeze() and a turn under weighted round robin,
 *			which take all by number
 *	resv_lock	reservations
 *	zns_lock	zones
 *	store.extents	one at a time, but for large deallocations which take all by number, and Compare
 *			and Write which takes two
 *	fdp		reclaim unit handles and what is counted of them
 *	notes		events and the error log
 *
 * What a turn reads all the time and a register write changes (page size, bus mastering, vectors)
 * is changed while all queues are frozen, so that the turn needs no lock but its own. Fatal status
 * and removal can come up in the middle of a turn and are atomic flags.
 *
 * Files: nvme_config.c config space; nvme_regs.c registers, enabling, shutdown, reset; nvme_queue.c queues
 * and turns; nvme_arb.c weighted round robin; nvme_prp.c and nvme_sgl.c data; nvme_admin.c,
 * nvme_identify.c, nvme_features.c, nvme_log.c, nvme_reports.c, nvme_security.c, nvme_event.c,
 * nvme_manage.c, nvme_firmware.c admin commands; nvme_io.c, nvme_resv.c, nvme_fdp.c and nvme_zns*.c I/O
 * commands; nvme_dbbuf.c, nvme_hmb.c, nvme_cmb.c and nvme_pmr.c memory that both sides use; nvme_lie.c
 * lies; nvme_store.c and nvme_wcache.c the blocks; nvme_options.c what the user may choose.
 */
#include "nvme_fdp.h"
#include "nvme_internal.h"
#include "nvme_pi.h"
#include "nvme_zns.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

/* Turns without work until the model's thread yields, and until it sleeps in between. */
#define IDLE_TURNS_YIELD 256u
#define IDLE_TURNS_SLEEP 8192u
#define IDLE_SLEEP_NS 20000L

static struct emu_nvme *nvme_of(struct nsdk_emu_model *model)
{
	return (struct emu_nvme *)model;
}

void emu_nvme_freeze(struct emu_nvme *ctrl)
{
	/* Queues come into being under the lock of queue 0 only, so the others are those there are. */
	pthread_mutex_lock(&ctrl->cqs[0].lock);
	ctrl->frozen = 1;
	for (unsigned used = atomic_load(&ctrl->cqs_used); ctrl->frozen < used; ctrl->frozen++)
		pthread_mutex_lock(&ctrl->cqs[ctrl->frozen].lock);
}

void emu_nvme_thaw(struct emu_nvme *ctrl)
{
	while (ctrl->frozen > 1)
		pthread_mutex_unlock(&ctrl->cqs[--ctrl->frozen].lock);
	pthread_mutex_unlock(&ctrl->cqs[0].lock);
}

void emu_nvme_function_reset(struct emu_nvme *ctrl)
{
	emu_nvme_regs_reset(ctrl);
	emu_nvme_cmb_reset(ctrl, true);
	emu_nvme_pmr_control(ctrl, 0);
	emu_nvme_zns_shutdown(ctrl);
	emu_nvme_config_reset(ctrl);
}

void emu_nvme_pull_out(struct emu_nvme *ctrl)
{
	int fd = atomic_load(&ctrl->model.gone_fd);

	/* Release: whoever sees it gone also sees the completions that were posted before. */
	atomic_store_explicit(&ctrl->gone, true, memory_order_release);
	if (fd >= 0)
		eventfd_write(fd, 1);
}

static void *run_thread(void *arg)
{
	struct emu_nvme *ctrl = arg;
	const struct timespec pause = { .tv_nsec = IDLE_SLEEP_NS };
	unsigned idle = 0;

	while (!atomic_load_explicit(&ctrl->thread_stop, memory_order_acquire)) {
		if (emu_nvme_queues_turn(ctrl)) {
			idle = 0;
			continue;
		}
		if (idle < IDLE_TURNS_SLEEP)
			idle++;
		if (idle >= IDLE_TURNS_SLEEP)
			nanosleep(&pause, NULL);
		else if (idle >= IDLE_TURNS_YIELD)
			sched_yield();
	}
	return NULL;
}

static int start_thread(struct emu_nvme *ctrl)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int rc;

	pthread_attr_init(&attr);
	if (ctrl->opts.cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((size_t)ctrl->opts.cpu, &cpus);
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	rc = pthread_create(&ctrl->thread, &attr, run_thread, ctrl);
	pthread_attr_destroy(&attr);
	if (rc && ctrl->opts.cpu >= 0)
		return nsdk_fail(-rc, EMU_NVME_ROOM,
				 "emu:nvme: cpu=%d: no thread can run on that CPU (%s); choose one of "
				 "those the process may use",
				 ctrl->opts.cpu, strerror(rc));
	if (rc)
		return nsdk_fail(-rc, EMU_NVME_ROOM, "emu:nvme: thread=1: no thread can be started: %s",
				 strerror(rc));
	ctrl->thread_runs = true;
	return 0;
}

static size_t power_of_two_from(size_t bytes)
{
	size_t power = EMU_NVME_PAGE;

	while (power < bytes)
		power <<= 1;
	return power;
}

static void *map_bar(size_t bytes)
{
	void *bar = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return bar == MAP_FAILED ? NULL : bar;
}

static void nvme_free(struct emu_nvme *ctrl)
{
	if (ctrl->bar0)
		munmap(ctrl->bar0, ctrl->bar0_bytes);
	if (ctrl->bar4)
		munmap(ctrl->bar4, ctrl->bar4_bytes);
	free(ctrl->firmware.image);
	free(ctrl->vectors);
	free(ctrl->vector_pending);
	free(ctrl->sqs);
	free(ctrl->cqs);
	free(ctrl);
}

static struct emu_nvme *nvme_alloc(const struct emu_nvme_opts *opts)
{
	struct emu_nvme *ctrl = calloc(1, sizeof(*ctrl));
	unsigned count = opts->queues + 1;

	if (!ctrl)
		return NULL;
	ctrl->opts = *opts;
	ctrl->vector_count = opts->vectors ? opts->vectors : count;
	ctrl->sqs = calloc(count, sizeof(*ctrl->sqs));
	ctrl->cqs = calloc(count, sizeof(*ctrl->cqs));
	ctrl->vectors = malloc(ctrl->vector_count * sizeof(*ctrl->vectors));
	ctrl->vector_pending = calloc(ctrl->vector_count, sizeof(*ctrl->vector_pending));
	/* A submission tail and a completion head for each; the MSI-X table and its pending bits. */
	ctrl->cmb.offset = NSDK_NVME_REG_DOORBELLS + count * 2 * sizeof(uint32_t);
	ctrl->cmb.offset = (ctrl->cmb.offset + EMU_NVME_PAGE - 1) / EMU_NVME_PAGE * EMU_NVME_PAGE;
	ctrl->bar0_bytes = power_of_two_from(ctrl->cmb.offset + opts->cmb_bytes);
	ctrl->bar4_bytes = power_of_two_from((size_t)ctrl->vector_count * 16 +
					     (ctrl->vector_count + 63) / 64 * 8);
	ctrl->bar0 = map_bar(ctrl->bar0_bytes);
	ctrl->bar4 = map_bar(ctrl->bar4_bytes);
	if (!ctrl->sqs || !ctrl->cqs || !ctrl->vectors || !ctrl->vector_pending || !ctrl->bar0 ||
	    !ctrl->bar4) {
		nvme_free(ctrl);
		return NULL;
	}
	ctrl->doorbells = (_Atomic uint32_t *)(void *)(ctrl->bar0 + NSDK_NVME_REG_DOORBELLS);
	for (unsigned i = 0; i < ctrl->vector_count; i++)
		ctrl->vectors[i] = -1;
	return ctrl;
}

static int nvme_create(const char *options, struct nsdk_emu_model **out)
{
	struct emu_nvme_opts opts;
	struct emu_nvme *ctrl;
	int rc;

	rc = emu_nvme_opts_read(options, &opts);
	if (rc)
		return rc;
	ctrl = nvme_alloc(&opts);
	if (!ctrl)
		return nsdk_fail(-ENOMEM, EMU_NVME_ROOM, "emu:nvme: no memory for %u queues; say a "
							 "smaller queues=", opts.queues);
	rc = emu_nvme_store_open(&ctrl->store, &ctrl->opts);
	if (rc)
		goto free_ctrl;

	rc = emu_nvme_pmr_open(ctrl);
	if (rc)
		goto close_pmr;

	ctrl->model.ops = &nsdk_emu_nvme;
	ctrl->model.wants_nosnoop = opts.nosnoop != EMU_NVME_NOSNOOP_NONE;
	ctrl->model.iova_bits = opts.iova_bits;
	ctrl->model.seed = opts.seed;
	ctrl->model.own_thread = opts.thread;
	atomic_store(&ctrl->model.gone_fd, -1);
	ctrl->resv_fd = -1;
	ctrl->lba_shift = ctrl->store.lba_shift;
	emu_nvme_manage_init(ctrl);
	emu_nvme_firmware_init(ctrl);
	ctrl->power_on_ns = nsdk_clock_ns();
	pthread_mutex_init(&ctrl->registers, NULL);
	pthread_mutex_init(&ctrl->notes, NULL);
	pthread_mutex_init(&ctrl->resv_lock, NULL);
	rc = emu_nvme_zns_create(ctrl);
	if (rc)
		goto destroy_zones;
	rc = emu_nvme_resv_create(ctrl);
	if (rc)
		goto destroy_zones;
	rc = emu_nvme_md_create(ctrl);
	if (rc) {
		rc = nsdk_fail(-ENOMEM, EMU_NVME_ROOM, "emu:nvme: no memory for the metadata of so many "
			       "blocks; say a smaller size=");
		goto destroy_zones;
	}
	rc = emu_nvme_reports_init(ctrl);
	if (rc)
		goto destroy_md;
	rc = emu_nvme_fdp_create(ctrl);
	if (rc)
		goto destroy_md;
	rc = emu_nvme_hmb_init(ctrl);
	if (rc) {
		rc = nsdk_fail(-ENOMEM, EMU_NVME_ROOM, "emu:nvme: no memory for what hmb= needs");
		goto destroy_hmb;
	}
	for (unsigned i = 0; i <= opts.queues; i++)
		pthread_mutex_init(&ctrl->cqs[i].lock, NULL);
	emu_nvme_regs_init(ctrl);
	emu_nvme_config_init(ctrl);

	if (opts.thread) {
		rc = start_thread(ctrl);
		if (rc)
			goto destroy_locks;
	}
	*out = &ctrl->model;
	return 0;

destroy_locks:
	for (unsigned i = 0; i <= opts.queues; i++)
		pthread_mutex_destroy(&ctrl->cqs[i].lock);
destroy_hmb:
	emu_nvme_hmb_fini(ctrl);
	emu_nvme_fdp_destroy(ctrl);
destroy_md:
	emu_nvme_md_destroy(ctrl);
destroy_zones:
	emu_nvme_resv_destroy(ctrl);
	emu_nvme_zns_destroy(ctrl);
	pthread_mutex_destroy(&ctrl->notes);
	pthread_mutex_destroy(&ctrl->resv_lock);
	pthread_mutex_destroy(&ctrl->registers);
close_pmr:
	emu_nvme_pmr_close(ctrl);
	emu_nvme_store_close(&ctrl->store);
free_ctrl:
	nvme_free(ctrl);
	return rc;
}

static void nvme_destroy(struct nsdk_emu_model *model)
{
	struct emu_nvme *ctrl = nvme_of(model);

	if (ctrl->thread_runs) {
		atomic_store_explicit(&ctrl->thread_stop, true, memory_order_release);
		pthread_join(ctrl->thread, NULL);
	}
	for (unsigned i = 0; i <= ctrl->opts.queues; i++)
		emu_nvme_sq_destroy(ctrl, i);
	for (unsigned i = 0; i <= ctrl->opts.queues; i++) {
		emu_nvme_cq_destroy(ctrl, i);
		pthread_mutex_destroy(&ctrl->cqs[i].lock);
	}
	emu_nvme_hmb_fini(ctrl);
	emu_nvme_fdp_destroy(ctrl);
	emu_nvme_md_destroy(ctrl);
	emu_nvme_resv_destroy(ctrl);
	emu_nvme_zns_destroy(ctrl);
	pthread_mutex_destroy(&ctrl->notes);
	pthread_mutex_destroy(&ctrl->resv_lock);
	pthread_mutex_destroy(&ctrl->registers);
	emu_nvme_pmr_close(ctrl);
	emu_nvme_store_close(&ctrl->store);
	nvme_free(ctrl);
}

static bool nvme_gone(struct nsdk_emu_model *model)
{
	return atomic_load_explicit(&nvme_of(model)->gone, memory_order_acquire);
}

static int nvme_cfg_read(struct nsdk_emu_model *model, unsigned offset, unsigned width,
			 uint32_t *out)
{
	return emu_nvme_config_read(nvme_of(model), offset, width, out);
}

static int nvme_cfg_write(struct nsdk_emu_model *model, unsigned offset, unsigned width,
			  uint32_t value)
{
	return emu_nvme_config_write(nvme_of(model), offset, width, value);
}

static int nvme_bar(struct nsdk_emu_model *model, unsigned index, struct nsdk_bar *out)
{
	struct emu_nvme *ctrl = nvme_of(model);

	switch (index) {
	case 0:
		*out = (struct nsdk_bar){ .base = ctrl->bar0, .bytes = ctrl->bar0_bytes };
		return 0;
	case 2:
		*out = (struct nsdk_bar){ .base = ctrl->pmr.bar, .bytes = ctrl->opts.pmr_bytes };
		return ctrl->pmr.bar ? 0 : -ENOENT;
	case 4:
		*out = (struct nsdk_bar){ .base = ctrl->bar4, .bytes = ctrl->bar4_bytes };
		return 0;
	default:
		return -ENOENT;
	}
}

/* The MSI-X table is memory and no more: as with VFIO, vectors are armed by irq_set. */
static _Atomic uint32_t *msix_dword(struct emu_nvme *ctrl, size_t offset)
{
	if (offset % sizeof(uint32_t) || offset + sizeof(uint32_t) > ctrl->bar4_bytes)
		return NULL;
	return (_Atomic uint32_t *)(void *)(ctrl->bar4 + offset);
}

static uint64_t nvme_mmio_read(struct nsdk_emu_model *model, unsigned bar, size_t offset,
			       unsigned width)
{
	struct emu_nvme *ctrl = nvme_of(model);
	_Atomic uint32_t *dword;
	uint64_t value = 0;

	if (nvme_gone(model))
		return UINT64_MAX;
	if (bar == 0)
		return emu_nvme_regs_read(ctrl, offset, width);
	if (bar != 4 || (width != 4 && width != 8))
		return UINT64_MAX;
	for (unsigned i = 0; i < width / 4; i++) {
		dword = msix_dword(ctrl, offset + i * 4);
		value |= (uint64_t)(dword ? atomic_load(dword) : UINT32_MAX) << i * 32;
	}
	return value;
}

static void nvme_mmio_write(struct nsdk_emu_model *model, unsigned bar, size_t offset,
			    unsigned width, uint64_t value)
{
	struct emu_nvme *ctrl = nvme_of(model);
	_Atomic uint32_t *dword;

	if (nvme_gone(model))
		return;
	if (bar == 0) {
		emu_nvme_regs_write(ctrl, offset, width, value);
		return;
	}
	if (bar != 4 || (width != 4 && width != 8))
		return;
	for (unsigned i = 0; i < width / 4; i++) {
		dword = msix_dword(ctrl, offset + i * 4);
		if (dword)
			atomic_store(dword, (uint32_t)(value >> i * 32));
	}
}

static unsigned nvme_irq_count(struct nsdk_emu_model *model)
{
	return nvme_of(model)->vector_count;
}

static int nvme_irq_set(struct nsdk_emu_model *model, const int *eventfds, unsigned count)
{
	struct emu_nvme *ctrl = nvme_of(model);

	if (count > ctrl->vector_count)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: %u interrupt vectors were asked for, there are %u", count,
				 ctrl->vector_count);
	pthread_mutex_lock(&ctrl->registers);
	/* Afterwards nobody writes to an eventfd of before, which the caller may close then. */
	emu_nvme_freeze(ctrl);
	for (unsigned i = 0; i < ctrl->vector_count; i++) {
		ctrl->vectors[i] = i < count ? eventfds[i] : -1;
		/* A message that waited in the pending bit is sent when its vector is unmasked. */
		if ((ctrl->vectors[i] >= 0 || count == 0) &&
		    atomic_exchange(&ctrl->vector_pending[i], false) && count > 0)
			eventfd_write(ctrl->vectors[i], 1);
	}
	ctrl->vectors_on = count;
	emu_nvme_config_msix(ctrl, count > 0);
	emu_nvme_thaw(ctrl);
	pthread_mutex_unlock(&ctrl->registers);
	return 0;
}

static int nvme_irq_set_one(struct nsdk_emu_model *model, unsigned vector, int eventfd)
{
	struct emu_nvme *ctrl = nvme_of(model);
	int rc = 0;

	pthread_mutex_lock(&ctrl->registers);
	emu_nvme_freeze(ctrl);
	if (vector < ctrl->vectors_on) {
		ctrl->vectors[vector] = eventfd;
		if (eventfd >= 0 && atomic_exchange(&ctrl->vector_pending[vector], false))
			eventfd_write(eventfd, 1);
	} else {
		rc = -EINVAL;
	}
	emu_nvme_thaw(ctrl);
	pthread_mutex_unlock(&ctrl->registers);
	return rc;
}

static void nvme_reset(struct nsdk_emu_model *model)
{
	struct emu_nvme *ctrl = nvme_of(model);

	if (nvme_gone(model))
		return;
	pthread_mutex_lock(&ctrl->registers);
	emu_nvme_freeze(ctrl);
	emu_nvme_function_reset(ctrl);
	emu_nvme_thaw(ctrl);
	pthread_mutex_unlock(&ctrl->registers);
}

static void nvme_poll(struct nsdk_emu_model *model)
{
	struct emu_nvme *ctrl = nvme_of(model);

	if (!ctrl->opts.thread)
		emu_nvme_queues_turn(ctrl);
}

const struct nsdk_emu_model_ops nsdk_emu_nvme = {
	.name = "nvme",
	.create = nvme_create,
	.destroy = nvme_destroy,
	.cfg_read = nvme_cfg_read,
	.cfg_write = nvme_cfg_write,
	.bar = nvme_bar,
	.mmio_read = nvme_mmio_read,
	.mmio_write = nvme_mmio_write,
	.irq_count = nvme_irq_count,
	.irq_set = nvme_irq_set,
	.irq_set_one = nvme_irq_set_one,
	.reset = nvme_reset,
	.poll = nvme_poll,
	.gone = nvme_gone,
};
