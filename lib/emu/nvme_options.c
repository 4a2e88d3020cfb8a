/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

#include "nvme_fdp.h"
#include "nvme_pi.h"
#include "options.h"

/* As the text says it; struct emu_nvme_opts is what comes of it. */
struct said {
	uint64_t size, namespaces, mdts, latency_us, seed, queues, vectors, mqes, cpu, iova_bits, ready_ms;
	uint64_t hmb, rival, reset_fails, zone, zone_cap, max_open, max_active, zones_ro, zones_offline, zasl;
	unsigned lba, nosnoop, thread, vwc, volatile_cache, sgl, abort, delete_sq, disable_hangs;
	uint64_t ms;
	unsigned mset, pi, pil, pif;
	uint64_t fdp_rg, fdp_ruh, fdp_runs;
	unsigned fdp;
	unsigned zoned, zone_cross, dbbuf, wrr, ana, host;
	uint64_t bad;
	uint64_t cmb;
	char cmb_for[48];
	uint64_t pmr;
	char pmr_file[sizeof(((struct emu_nvme_opts *)0)->pmr_file)];
	char resv_file[sizeof(((struct emu_nvme_opts *)0)->resv_file)];
	char file[sizeof(((struct emu_nvme_opts *)0)->file)];
	char fault[64];
};

static const char *const lba_words[] = { "512", "4096", NULL };
static const char *const nosnoop_words[] = { "none", "data", "all", NULL };
static const char *const sgl_words[] = { "none", "dword", "any", NULL };
static const char *const abort_words[] = { "works", "fails", "hangs", "late", NULL };
static const char *const delete_words[] = { "works", "fails", "hangs", NULL };
static const char *const host_words[] = { "1", "2", NULL };
static const char *const off_on[] = { "0", "1", NULL };
static const char *const pi_words[] = { "0", "1", "2", "3", NULL };
static const char *const pif_words[] = { "0", "1", "2", NULL };

enum { SIZE, LBA, FILE_, NAMESPACES, MDTS, NOSNOOP, LATENCY, SEED, QUEUES, VECTORS, MQES, THREAD, CPU,
       IOVA_BITS, READY, VWC, VOLATILE, SGL, RIVAL, FAULT, ABORT, DELETE_SQ, RESET_FAILS, DISABLE_HANGS,
       MS, MSET, PI, PIL, PIF, FDP, FDP_RG, FDP_RUH, FDP_RUNS,
       ZONED, ZONE, ZONE_CAP, MAX_OPEN, MAX_ACTIVE, ZONE_CROSS, ZONES_RO, ZONES_OFFLINE, ZASL, DBBUF,
       WRR, ANA, BAD, HMB, CMB, CMB_FOR, PMR, PMR_FILE, RESV_FILE, HOST,
       OPTIONS };

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
	[VECTORS] = { "vectors", NSDK_EMU_OPTION_NUMBER, AT(vectors), 1, EMU_NVME_MAX_QUEUES + 1 },
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
	[ZONED] = { "zoned", NSDK_EMU_OPTION_WORD, AT(zoned), .words = off_on },
	[ZONE] = { "zone", NSDK_EMU_OPTION_BYTES, AT(zone), 4096, (uint64_t)1 << 40 },
	[ZONE_CAP] = { "zone_cap", NSDK_EMU_OPTION_BYTES, AT(zone_cap), 4096, (uint64_t)1 << 40 },
	[MAX_OPEN] = { "max_open", NSDK_EMU_OPTION_NUMBER, AT(max_open), 0, EMU_NVME_MAX_ZONES },
	[MAX_ACTIVE] = { "max_active", NSDK_EMU_OPTION_NUMBER, AT(max_active), 0, EMU_NVME_MAX_ZONES },
	[ZONE_CROSS] = { "zone_cross", NSDK_EMU_OPTION_WORD, AT(zone_cross), .words = off_on },
	[ZONES_RO] = { "zones_ro", NSDK_EMU_OPTION_NUMBER, AT(zones_ro), 0, EMU_NVME_MAX_ZONES },
	[ZONES_OFFLINE] = { "zones_offline", NSDK_EMU_OPTION_NUMBER, AT(zones_offline), 0,
			    EMU_NVME_MAX_ZONES },
	[ZASL] = { "zasl", NSDK_EMU_OPTION_NUMBER, AT(zasl), 0, 16 },
	[HMB] = { "hmb", NSDK_EMU_OPTION_BYTES, AT(hmb), 0, (uint64_t)1 << 30 },
	/* It is written anew with each reset. */
	[CMB] = { "cmb", NSDK_EMU_OPTION_BYTES, AT(cmb), 0, (uint64_t)64 << 20 },
	[CMB_FOR] = { "cmb_for", NSDK_EMU_OPTION_TEXT, AT(cmb_for), .max = sizeof(((struct said *)0)->cmb_for) },
	[PMR] = { "pmr", NSDK_EMU_OPTION_BYTES, AT(pmr), 0, (uint64_t)64 << 20 },
	[PMR_FILE] = { "pmr_file", NSDK_EMU_OPTION_TEXT, AT(pmr_file),
		       .max = sizeof(((struct said *)0)->pmr_file) },
	[RESV_FILE] = { "resv_file", NSDK_EMU_OPTION_TEXT, AT(resv_file),
			.max = sizeof(((struct said *)0)->resv_file) },
	[HOST] = { "host", NSDK_EMU_OPTION_WORD, AT(host), .words = host_words },
	[DBBUF] = { "dbbuf", NSDK_EMU_OPTION_WORD, AT(dbbuf), .words = off_on },
	[ANA] = { "ana", NSDK_EMU_OPTION_WORD, AT(ana), .words = off_on },
	[BAD] = { "bad", NSDK_EMU_OPTION_NUMBER, AT(bad), 0, UINT64_MAX },
	[WRR] = { "wrr", NSDK_EMU_OPTION_WORD, AT(wrr), .words = off_on },
	[MS] = { "ms", NSDK_EMU_OPTION_NUMBER, AT(ms), 0, EMU_NVME_MAX_MD },
	[MSET] = { "mset", NSDK_EMU_OPTION_WORD, AT(mset), .words = off_on },
	[PI] = { "pi", NSDK_EMU_OPTION_WORD, AT(pi), .words = pi_words },
	[PIL] = { "pil", NSDK_EMU_OPTION_WORD, AT(pil), .words = off_on },
	[PIF] = { "pif", NSDK_EMU_OPTION_WORD, AT(pif), .words = pif_words },
	[FDP] = { "fdp", NSDK_EMU_OPTION_WORD, AT(fdp), .words = off_on },
	[FDP_RG] = { "fdp_rg", NSDK_EMU_OPTION_NUMBER, AT(fdp_rg), 1, 64 },
	[FDP_RUH] = { "fdp_ruh", NSDK_EMU_OPTION_NUMBER, AT(fdp_ruh), 1, EMU_NVME_MAX_RUH },
	[FDP_RUNS] = { "fdp_runs", NSDK_EMU_OPTION_BYTES, AT(fdp_runs), 4096, (uint64_t)1 << 40 },
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
		{ "lostirq@", EMU_NVME_FAULT_LOST_IRQ },
		{ "guard@", EMU_NVME_FAULT_GUARD },
		{ "flap@", EMU_NVME_FAULT_FLAP },
		{ "storm@", EMU_NVME_FAULT_STORM },
		{ "overrun@", EMU_NVME_FAULT_OVERRUN },
		{ "badcid@", EMU_NVME_FAULT_BAD_CID },
		{ "twice@", EMU_NVME_FAULT_TWICE },
		{ "phase@", EMU_NVME_FAULT_PHASE },
		{ "badqid@", EMU_NVME_FAULT_BAD_QID },
		{ "badhead@", EMU_NVME_FAULT_BAD_HEAD },
	};
	const char *count;

	if (strcmp(text, "never-ready") == 0 || strcmp(text, "identify") == 0) {
		out->fault = text[0] == 'n' ? EMU_NVME_FAULT_NEVER_READY : EMU_NVME_FAULT_IDENTIFY;
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
			 "emu:nvme: fault=%s: give never-ready or identify, or fatal@N, gone@N, cut@N, timeout@N, "
			 "badstatus@N, guard@N, flap@N, storm@N or overrun@N, where N counts I/O commands from 1 "
			 "(adminN: admin commands; everyN: again and again), or badcid@N, twice@N, phase@N, "
			 "badqid@N or badhead@N, where it counts completions, or lostirq@N, where it counts "
			 "interrupts",
			 text);
}

/* What goes together of zones, and what does not. */
static int check_zones(const struct said *said, const bool *given)
{
	if (!said->zoned) {
		for (unsigned i = ZONE; i <= ZASL; i++)
			if (given[i])
				return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
						 "emu:nvme: %s= is for zoned namespaces; say zoned=1 as "
						 "well", options[i].name);
		return 0;
	}
	if (given[FILE_])
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: zoned=1 keeps its zones in memory, so file=%s cannot be", said->file);
	if (said->zone % 4096 || said->zone_cap % 4096 || said->zone_cap > said->zone)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: zone=%llu and zone_cap=%llu: both are multiples of 4096, and the "
				 "capacity at most the size", (unsigned long long)said->zone,
				 (unsigned long long)said->zone_cap);
	if (said->max_active && (said->max_open == 0 || said->max_open > said->max_active))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: max_active=%llu zones limit those that are open as well: say "
				 "max_open= from 1 to that", (unsigned long long)said->max_active);
	if (said->zasl && said->mdts && said->zasl > said->mdts)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: zasl=%llu is above mdts=%llu", (unsigned long long)said->zasl,
				 (unsigned long long)said->mdts);
	return 0;
}

/* What goes together of metadata. */
static int check_metadata(const struct said *said, const bool *given)
{
	if (!said->ms) {
		for (unsigned i = MSET; i <= PIF; i++)
			if (given[i])
				return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
						 "emu:nvme: %s= is for blocks with metadata; say ms=8 as well",
						 options[i].name);
		return 0;
	}
	if (said->pi && said->ms < emu_nvme_pi_bytes(said->pif))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: pi=%u needs ms=%u at least, of which protection information takes "
				 "so many bytes with pif=%u", said->pi, emu_nvme_pi_bytes(said->pif), said->pif);
	if (given[FILE_] || said->zoned)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: ms=%llu keeps metadata in memory beside blocks in memory, so "
				 "neither file= nor zoned=1 goes with it", (unsigned long long)said->ms);
	return 0;
}

/* What goes together of flexible data placement. */
static int check_fdp(const struct said *said, const bool *given)
{
	if (!said->fdp) {
		for (unsigned i = FDP_RG; i <= FDP_RUNS; i++)
			if (given[i])
				return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
						 "emu:nvme: %s= is for flexible data placement; say fdp=1 as well",
						 options[i].name);
		return 0;
	}
	if (said->zoned)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: fdp=1 does not go with zoned=1: zones place their data themselves");
	if (said->fdp_rg * said->fdp_ruh > EMU_NVME_MAX_PIDS || said->fdp_runs % 4096)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: fdp_ruh=%llu times fdp_rg=%llu is to be %u at most, and "
				 "fdp_runs=%llu a multiple of 4096", (unsigned long long)said->fdp_ruh,
				 (unsigned long long)said->fdp_rg, EMU_NVME_MAX_PIDS,
				 (unsigned long long)said->fdp_runs);
	return 0;
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
		.zone = (uint64_t)4 << 20,
		.fdp_rg = 1,
		.fdp_ruh = 4,
		.fdp_runs = (uint64_t)4 << 20,
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
	if (!given[ZONE_CAP])
		said.zone_cap = said.zone;
	rc = check_zones(&said, given);
	if (!rc)
		rc = check_metadata(&said, given);
	if (!rc)
		rc = check_fdp(&said, given);
	if (rc)
		return rc;
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
		.dbbuf = said.dbbuf,
		.any_bad = given[BAD],
		.bad = said.bad,
		.wrr = said.wrr,
		.ana = said.ana,
		.vectors = (unsigned)said.vectors,
		.hmb_bytes = said.hmb,
		.cmb_bytes = said.cmb,
		.pmr_bytes = said.pmr,
		.rival = (unsigned)said.rival,
		.other_host = said.host,
		.abort = (enum emu_nvme_abort)said.abort,
		.delete_sq = (enum emu_nvme_delete)said.delete_sq,
		.reset_fails = (unsigned)said.reset_fails,
		.disable_hangs = said.disable_hangs,
		.zoned = said.zoned,
		.zone_bytes = said.zone,
		.zone_cap_bytes = said.zone_cap,
		.max_open = (unsigned)said.max_open,
		.max_active = (unsigned)said.max_active,
		.zone_cross = said.zone_cross,
		.zones_ro = (unsigned)said.zones_ro,
		.zones_offline = (unsigned)said.zones_offline,
		.zasl = (unsigned)said.zasl,
		.ms = (unsigned)said.ms,
		.mset = said.mset,
		.pi = said.pi,
		.pil = said.pil,
		.pif = said.pif,
		.fdp = said.fdp,
		.fdp_groups = (unsigned)said.fdp_rg,
		.fdp_handles = (unsigned)said.fdp_ruh,
		.fdp_unit_bytes = said.fdp_runs,
	};
	memcpy(out->file, said.file, sizeof(out->file));
	if (out->size_bytes % out->lba_bytes)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: size=%llu is not a multiple of the %u byte blocks",
				 (unsigned long long)out->size_bytes, out->lba_bytes);
	if (said.hmb % EMU_NVME_PAGE)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: hmb=%llu is not a multiple of the %u byte pages",
				 (unsigned long long)said.hmb, (unsigned)EMU_NVME_PAGE);
	if (said.cmb % EMU_NVME_PAGE || (given[CMB_FOR] && !said.cmb))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: cmb=%llu: a multiple of the %u byte pages is wanted%s",
				 (unsigned long long)said.cmb, (unsigned)EMU_NVME_PAGE,
				 given[CMB_FOR] ? ", and not 0 where cmb_for= is said" : "");
	/* It is the size of a BAR. */
	if (said.pmr % EMU_NVME_PAGE || (said.pmr & (said.pmr - 1)) || (given[PMR_FILE] && !said.pmr))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: pmr=%llu: a power of two from %u on is wanted",
				 (unsigned long long)said.pmr, (unsigned)EMU_NVME_PAGE);
	memcpy(out->pmr_file, said.pmr_file, sizeof(out->pmr_file));
	memcpy(out->resv_file, said.resv_file, sizeof(out->resv_file));
	rc = emu_nvme_cmb_parse(given[CMB_FOR] ? said.cmb_for : "sq+data", out);
	if (rc)
		return rc;
	if (said.volatile_cache && (!given[FILE_] || !said.vwc))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: volatile_cache=1 is for a write cache (not vwc=0) before "
				 "blocks that outlive a power cut; say file=PATH as well");
	return given[FAULT] ? read_fault(said.fault, out) : 0;
}
