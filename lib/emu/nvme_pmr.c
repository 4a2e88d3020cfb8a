/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The persistent memory region (Base 8.14), with pmr=SIZE: BAR 2, and behind it what lasts, the file of
 * pmr_file= or memory.
 *
 * The two are not one. What the host stores is in the BAR, and lasts only once a read of PMRSTS has brought
 * it over: a host that does not ask for that loses it, when the region is disabled or the function reset, as
 * it would with its power. While the region is disabled the BAR is full of ones, and enabling it takes as
 * long as getting ready does (ready_ms=).
 */
#include "cache_internal.h"
#include "nvme_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#define PART_BYTES 4096u

static void *map(int fd, size_t bytes)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int map_file(struct emu_nvme *ctrl)
{
	size_t bytes = ctrl->opts.pmr_bytes;
	int fd = open(ctrl->opts.pmr_file, O_RDWR | O_CREAT | O_CLOEXEC, 0666), rc = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || ((size_t)st.st_size < bytes && ftruncate(fd, (off_t)bytes) != 0))
		rc = -errno;
	else
		ctrl->pmr.lasting = map(fd, bytes);
	if (rc == 0 && !ctrl->pmr.lasting)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc ? nsdk_fail(rc, EMU_NVME_ROOM, "emu:nvme: pmr_file=%s: %s", ctrl->opts.pmr_file, strerror(-rc)) :
		    0;
}

int emu_nvme_pmr_open(struct emu_nvme *ctrl)
{
	struct emu_nvme_pmr *pmr = &ctrl->pmr;
	int rc;

	if (!ctrl->opts.pmr_bytes)
		return 0;
	if (ctrl->opts.pmr_file[0]) {
		rc = map_file(ctrl);
		if (rc)
			return rc;
	} else {
		pmr->lasting = map(-1, ctrl->opts.pmr_bytes);
	}
	pmr->bar = map(-1, ctrl->opts.pmr_bytes);
	if (!pmr->bar || !pmr->lasting)
		return nsdk_fail(-ENOMEM, EMU_NVME_ROOM, "emu:nvme: no memory for pmr=%llu",
				 (unsigned long long)ctrl->opts.pmr_bytes);
	memset(pmr->bar, 0xff, ctrl->opts.pmr_bytes);
	return 0;
}

void emu_nvme_pmr_close(struct emu_nvme *ctrl)
{
	if (ctrl->pmr.bar)
		munmap(ctrl->pmr.bar, ctrl->opts.pmr_bytes);
	if (ctrl->pmr.lasting)
		munmap(ctrl->pmr.lasting, ctrl->opts.pmr_bytes);
}

void emu_nvme_pmr_control(struct emu_nvme *ctrl, uint32_t value)
{
	struct emu_nvme_pmr *pmr = &ctrl->pmr;
	bool enable = value & NSDK_NVME_PMRCTL_EN;

	if (!ctrl->opts.pmr_bytes || enable == pmr->enabled)
		return;
	pmr->enabled = enable;
	pmr->ready = false;
	pmr->ready_ns = nsdk_clock_ns() + ctrl->opts.ready_ns;
	if (!enable)
		memset(pmr->bar, 0xff, ctrl->opts.pmr_bytes);
}

/* Makes what is in the BAR last. */
static void settle(struct emu_nvme *ctrl)
{
	uint64_t words[PART_BYTES / 8];

	for (size_t at = 0; at < ctrl->opts.pmr_bytes; at += PART_BYTES) {
		emu_cache_live_read(words, ctrl->pmr.bar + at, PART_BYTES);
		/* Pages that nobody touched stay untouched: a file may have holes. */
		if (memcmp(ctrl->pmr.lasting + at, words, PART_BYTES) != 0)
			memcpy(ctrl->pmr.lasting + at, words, PART_BYTES);
	}
}

static uint32_t read_status(struct emu_nvme *ctrl)
{
	struct emu_nvme_pmr *pmr = &ctrl->pmr;

	if (!pmr->enabled || (!pmr->ready && ctrl->opts.ready_ns && nsdk_clock_ns() < pmr->ready_ns))
		return NSDK_NVME_PMRSTS_NRDY;
	if (!pmr->ready)
		memcpy(pmr->bar, pmr->lasting, ctrl->opts.pmr_bytes);
	else
		settle(ctrl);
	pmr->ready = true;
	return 0;
}

uint32_t emu_nvme_pmr_read(struct emu_nvme *ctrl, size_t offset)
{
	/* The time in units of 500 ms, with a margin for a busy machine. */
	uint32_t timeout = (uint32_t)(ctrl->opts.ready_ns / 500000000 + 2);

	if (!ctrl->opts.pmr_bytes)
		return 0;
	switch (offset) {
	case NSDK_NVME_REG_PMRCAP: /* BAR 2 */
		return NSDK_NVME_PMRCAP_RDS | NSDK_NVME_PMRCAP_WDS | 2u << 5 | NSDK_NVME_PMRCAP_WB_STATUS |
		       (timeout < 255 ? timeout : 255) << 16;
	case NSDK_NVME_REG_PMRCTL:
		return ctrl->pmr.enabled ? NSDK_NVME_PMRCTL_EN : 0;
	case NSDK_NVME_REG_PMRSTS:
		return read_status(ctrl);
	default: /* PMREBS, PMRSWTP, PMRMSC: nothing is said there */
		return 0;
	}
}
