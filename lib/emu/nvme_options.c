/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

#include "nvme_internal.h"
#include "options.h"

/* As the text says it; struct emu_nvme_opts is what comes of it. */
struct said {
	uint64_t size, namespaces, mdts, latency_us, seed, queues, mqes, cpu, iova_bits, ready_ms;
	uint64_t rival, reset_fails;
	unsigned lba, nosnoop, thread, vwc, volatile_cache, sgl, abort, delete_sq, disable_hangs;
	char file[sizeof(((struct emu_nvme_opts *)0)->file)];
	char fault[64];
};

static const char *const lba_words[] = { "512", "4096", NULL };
static const char *const nosnoop_words[] = { "none", "data", "all", NULL };
static const char *const sgl_words[] = { "none", "dword", "any", NULL };
static const char *const abort_words[] = { "works", "fails", "hangs", "late", NULL };
static const char *const delete_words[] = { "works", "fails", "hangs", NULL };
static const char *const off_on[] = { "0", "1", NULL };

enum { SIZE, LBA, FILE_, NAMESPACES, MDTS, NOSNOOP, LATENCY, SEED, QUEUES, MQES, THREAD, CPU, IOVA_BITS,
       READY, VWC, VOLATILE, SGL, RIVAL, FAULT, ABORT, DELETE_SQ, RESET_FAILS, DISABLE_HANGS, OPTIONS };

#define AT(field) .offset = offsetof(struct said, field)

static const struct nsdk_emu_option options[OPTIONS] = {
	/* The upper end keeps all namespaces together within what an off_t and an mmap can say. */
	[SIZE] = { "size", NSDK_EMU_OPTION_BYTES, AT(size), 512, (uint64_t)1 << 46 },
	[LBA] = { "lba", NSDK_EMU_OPTION_WORD, AT(lba), .words = lba_words },
	[FILE_] = { "file", NSDK_EMU_OPTION_TEXT, AT(file), .max = sizeof(((struct said *)0)->file) },
	[NAMESPACES] = { "namespaces", NSDK_EMU_OPTION_NUMBER, AT(namespaces), 1,
			 EMU_NVME_MAX_NAMESPACES },
	[MDTS] = { "mdts", NSDK_EMU_OPTION_NUMBER, AT(mdts), 0, 16 },
	[NOSNOOP] = { "nosnoop", NSDK_EMU_OPTION_WORD, AT(nosnoop), .words = nosnoop_words },
	[LATENCY] = { "latency_us", NSDK_EMU_OPTION_NUMBER, AT(latency_us), 0, 60000000 },
	[SEED] = { "seed", NSDK_EMU_OPTION_NUMBER, AT(seed), 0, UINT64_MAX },
	[QUEUES] = { "queues", NSDK_EMU_OPTION_NUMBER, AT(queues), 1, EMU_NVME_MAX_QUEUES },
	[MQES] = { "mqes", NSDK_EMU_OPTION_NUMBER, AT(mqes), 2, 65536 },
	[THREAD] = { "thread", NSDK_EMU_OPTION_WORD, AT(thread), .words = off_on },
	[CPU] = { "cpu", NSDK_EMU_OPTION_NUMBER, AT(cpu), 0, CPU_SETSIZE - 1 },
	[IOVA_BITS] = { "iova_bits", NSDK_EMU_OPTION_NUMBER, AT(iova_bits), 32, 64 },
	[READY] = { "ready_ms", NSDK_EMU_OPTION_NUMBER, AT(ready_ms), 0, 100000 },
	[VWC] = { "vwc", NSDK_EMU_OPTION_WORD, AT(vwc), .words = off_on },
	[VOLATILE] = { "volatile_cache", NSDK_EMU_OPTION_WORD, AT(volatile_cache), .words = off_on },
	[SGL] = { "sgl", NSDK_EMU_OPTION_WORD, AT(sgl), .words = sgl_words },
	[RIVAL] = { "rival", NSDK_EMU_OPTION_NUMBER, AT(rival), 0, 6 },
	[FAULT] = { "fault", NSDK_EMU_OPTION_TEXT, AT(fault), .max = sizeof(((struct said *)0)->fault) },
	[ABORT] = { "abort", NSDK_EMU_OPTION_WORD, AT(abort), .words = abort_words },
	[DELETE_SQ] = { "delete", NSDK_EMU_OPTION_WORD, AT(delete_sq), .words = delete_words },
	[RESET_FAILS] = { "reset_fails", NSDK_EMU_OPTION_NUMBER, AT(reset_fails), 0, 1000 },
	[DISABLE_HANGS] = { "disable_hangs", NSDK_EMU_OPTION_WORD, AT(disable_hangs), .words = off_on },
};

static int read_fault(const char *text, struct emu_nvme_opts *out)
{
	static const struct {
		const char *word;
		enum emu_nvme_fault fault;
	} faults[] = {
		{ "fatal@", EMU_NVME_FAULT_FATAL },
		{ "gone@", EMU_NVME_FAULT_GONE },
		{ "cut@", EMU_NVME_FAULT_CUT },
		{ "timeout@", EMU_NVME_FAULT_TIMEOUT },
		{ "badstatus@", EMU_NVME_FAULT_BAD_STATUS },
	};
	const char *count;

	if (strcmp(text, "never-ready") == 0) {
		out->fault = EMU_NVME_FAULT_NEVER_READY;
		return 0;
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (strncmp(text, faults[i].word, strlen(faults[i].word)) != 0)
			continue;
		count = text + strlen(faults[i].word);
		out->fault = faults[i].fault;
		out->fault_in_admin = strncmp(count, "admin", 5) == 0;
		if (out->fault_in_admin)
			count += 5;
		/* Every: such a device must be given the chance to work in between. */
		out->fault_again = strncmp(count, "every", 5) == 0;
		if (out->fault_again)
			count += 5;
		if (nsdk_emu_number(count, &out->fault_at) == 0 && out->fault_at > 0)
			return 0;
		break;
	}
	return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
			 "emu:nvme: fault=%s: give never-ready, or fatal@N, gone@N, cut@N, timeout@N or "
			 "badstatus@N, where N counts I/O commands from 1 (adminN: admin commands; "
			 "everyN: again and again)",
			 text);
}

int emu_nvme_opts_read(const char *text, struct emu_nvme_opts *out)
{
	struct said said = {
		.namespaces = 1,
		.mdts = 7, /* 512 KiB */
		.queues = 16,
		.mqes = 1024,
		.vwc = 1,
		.sgl = EMU_NVME_SGL_ANY,
	};
	bool given[OPTIONS];
	int rc;

	rc = nsdk_emu_options_read("emu:nvme", text, options, OPTIONS, &said, given);
	if (rc)
		return rc;
	if (given[CPU] && !said.thread)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: cpu=%llu is for the model's own thread; say thread=1 as well",
				 (unsigned long long)said.cpu);
	*out = (struct emu_nvme_opts){
		.size_bytes = given[SIZE] ? said.size : 0,
		.lba_bytes = said.lba ? 4096 : 512,
		.namespaces = (unsigned)said.namespaces,
		.mdts = (unsigned)said.mdts,
		.nosnoop = (enum emu_nvme_nosnoop)said.nosnoop,
		.latency_ns = said.latency_us * 1000,
		.seed = said.seed,
		.queues = (unsigned)said.queues,
		.entries = (unsigned)said.mqes,
		.thread = said.thread,
		.cpu = given[CPU] ? (int)said.cpu : -1,
		.iova_bits = (unsigned)said.iova_bits,
		.ready_ns = said.ready_ms * 1000000,
		.write_cache = said.vwc,
		.volatile_cache = said.volatile_cache,
		.sgl = (enum emu_nvme_sgl)said.sgl,
		.rival = (unsigned)said.rival,
		.abort = (enum emu_nvme_abort)said.abort,
		.delete_sq = (enum emu_nvme_delete)said.delete_sq,
		.reset_fails = (unsigned)said.reset_fails,
		.disable_hangs = said.disable_hangs,
	};
	memcpy(out->file, said.file, sizeof(out->file));
	if (out->size_bytes % out->lba_bytes)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: size=%llu is not a multiple of the %u byte blocks",
				 (unsigned long long)out->size_bytes, out->lba_bytes);
	if (said.volatile_cache && (!given[FILE_] || !said.vwc))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: volatile_cache=1 is for a write cache (not vwc=0) before "
				 "blocks that outlive a power cut; say file=PATH as well");
	return given[FAULT] ? read_fault(said.fault, out) : 0;
}
