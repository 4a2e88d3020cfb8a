/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe driver against a controller that lies (liar.c): a host program attaches, makes queue
 * pairs, does I/O of every kind in every shape, polls, and takes all down again, as the input says.
 *
 * Whatever the device does: no crash, leak or endless wait (libFuzzer and the sanitizers see those);
 * each callback exactly once; no command that names memory outside of the I/O under way; what the
 * device wrote is in the buffer when the callback runs, and nothing else is; afterwards bus mastering
 * is off and the cache model has nothing to complain of.
 *
 * The input: eight bytes that choose the device and the options, a count of lies and so many of them
 * (struct liar_lie), then operations of six bytes each.
 */
#include "liar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <nsdk/emu.h>
#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/nvme.h>
#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_fdp.h>
#include <nsdk/nvme_zns.h>

#define SLOTS 12u
#define SLOT_BYTES ((size_t)40 << 10)
#define REGION_BYTES (SLOTS * SLOT_BYTES)
#define QPAIRS 3u
#define PIECES_MAX 8
#define OPS_MAX 200u
#define LIES_MAX 12u
#define HEADER_BYTES 9u
#define RAW_TIMEOUT_NS 1000000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { NOBODY, DEVICE_READS, DEVICE_WRITES };

/* What an operation does, its first byte modulo KINDS. New ones go to the end: inputs are kept. */
enum kind { READ, WRITE, COMPARE, READV, WRITEV, FLUSH, WRITE_ZEROES, DSM, COMPARE_AND_WRITE, VERIFY,
	    WRITE_UNCORRECTABLE, COPY, RAW_READ, RAW_ADMIN, COMPAREV, NOTHING, ZONE_APPEND, ZONE_SEND,
	    ZONE_REPORT, PLACEMENT_STATUS, PLACEMENT_LOG, KINDS };

struct io {
	bool busy;
	bool again; /* the callback submits it once more */
	uint8_t kind;
	uint8_t flags;
	unsigned qpair;
	struct iovec iov[PIECES_MAX];
	int pieces;
	uint64_t lba;
	uint32_t blocks;
	size_t bytes; /* of its payload, counted from the slot's begin */
	/* A report of zones: polled until it is over. */
	struct nsdk_nvme_zone_report *report;
	struct nsdk_nvme_ns *ns;
	uint64_t next_zone;
};

static struct {
	struct nsdk_mem *mems[2]; /* without and with no-snoop */
	uint8_t *regions[2];
	uint8_t *region;                 /* of this run: a payload each slot */
	uint8_t shadow[REGION_BYTES];    /* what must be there when the callback runs */
	uint8_t whose[REGION_BYTES];     /* bytes of I/O under way */
	struct io ios[SLOTS];
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qpairs[QPAIRS + 1]; /* the last is none: the admin queue's */
	bool nosnoop;
	uint8_t fill;
} host;

/* ---- What the device asks ---- */

static uint32_t block_bytes(uint32_t nsid)
{
	struct nsdk_nvme_ns *ns = host.ctrlr ? nsdk_nvme_ns_get(host.ctrlr, nsid) : NULL;

	return ns ? nsdk_nvme_ns_block_bytes(ns) : 0;
}

static bool owns(const void *va, size_t bytes, bool device_writes)
{
	size_t at = (size_t)((const uint8_t *)va - host.region);

	if ((const uint8_t *)va < host.region || at + bytes > REGION_BYTES)
		return false;
	for (size_t i = at; i < at + bytes; i++)
		if (host.whose[i] != (device_writes ? DEVICE_WRITES : DEVICE_READS))
			return false;
	return true;
}

static void wrote(void *va, const void *from, size_t bytes)
{
	memcpy(host.shadow + ((uint8_t *)va - host.region), from, bytes);
}

static const struct liar_host liar_host = {
	.block_bytes = block_bytes,
	.owns = owns,
	.wrote = wrote,
};

/* ---- I/O ---- */

static size_t slot_at(const struct io *io)
{
	return (size_t)(io - host.ios) * SLOT_BYTES;
}

static void mark(const struct io *io, uint8_t whose)
{
	for (int i = 0; i < io->pieces; i++)
		memset(&host.whose[(uint8_t *)io->iov[i].iov_base - host.region], whose,
		       io->iov[i].iov_len);
}

static void submit(struct io *io);

/* What the driver takes for the namespace's identifiers, whatever the device says: in ascending order. */
static void take_placement(const struct io *io)
{
	const uint16_t *pids;
	unsigned count = 0;

	if (nsdk_nvme_ruh_status_take(io->ns, io->iov[0].iov_base, io->iov[0].iov_len, &count) != 0)
		return;
	if (count > io->iov[0].iov_len / sizeof(struct nsdk_nvme_ruh_status) ||
	    nsdk_nvme_ns_placements(io->ns, &pids) != count)
		liar_found("%u placement identifiers, of a status of %zu bytes", count, io->iov[0].iov_len);
	for (unsigned i = 1; i < count; i++)
		if (pids[i] <= pids[i - 1])
			liar_found("placement identifier %u after %u", pids[i], pids[i - 1]);
}

/* These wait. Without one that places data they say so, and that is all. */
static void ask_placement(const uint8_t *op)
{
	struct nsdk_nvme_fdp_event events[NSDK_NVME_FDP_MAX_EVENTS];
	struct nsdk_nvme_fdp_event_state states[8];
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(host.ctrlr, nsdk_nvme_ns_next(host.ctrlr, 0));
	struct nsdk_nvme_fdp_config *configs = NULL;
	struct nsdk_nvme_directives directives;
	struct nsdk_nvme_fdp_stats stats;
	struct nsdk_nvme_cpl cpl;
	uint8_t *usage = NULL;
	unsigned count = 0;
	uint64_t sum = 0;

	switch (op[2] % 6) {
	case 0:
		if (nsdk_nvme_fdp_configs(host.ctrlr, 1, &configs, &count, &cpl) != 0 || !configs)
			break;
		for (unsigned i = 0; i < count; i++)
			for (unsigned j = 0; configs[i].valid && j < configs[i].handles; j++)
				sum += configs[i].ruhs[j].type;
		break;
	case 1:
		if (nsdk_nvme_fdp_usage(host.ctrlr, 1, &usage, &count, &cpl) != 0 || !usage)
			break;
		for (unsigned i = 0; i < count; i++)
			sum += usage[i];
		break;
	case 2:
		nsdk_nvme_fdp_stats(host.ctrlr, 1, &stats, &cpl);
		break;
	case 3:
		nsdk_nvme_fdp_events(host.ctrlr, 1, op[3] & 1, events, &count, &cpl);
		break;
	case 4:
		if (ns)
			nsdk_nvme_fdp_get_events(ns, op[3] % 8, states, 8, &count, &cpl);
		break;
	default:
		if (ns)
			nsdk_nvme_directives(ns, &directives, &cpl);
		break;
	}
	if (sum == UINT64_MAX || count > 65536)
		liar_found("%u of them", count);
	free(configs);
	free(usage);
}

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct io *io = ctx;

	if (!io->busy)
		liar_found("a callback for I/O that is not under way");
	if (!nsdk_nvme_status_text(cpl->status))
		liar_found("status %04xh has no text", cpl->status);
	mark(io, NOBODY);
	io->busy = false;
	if (!liar_misled() &&
	    memcmp(host.region + slot_at(io), host.shadow + slot_at(io), SLOT_BYTES) != 0)
		liar_found("%s: the payload is not what the device left there, status %04xh",
			   host.nosnoop ? "no-snoop" : "coherent", cpl->status);
	if (io->kind == PLACEMENT_STATUS && nsdk_nvme_cpl_ok(cpl))
		take_placement(io);
	if (io->again) {
		io->again = false;
		submit(io);
	}
}

/* What comes of a report has been checked by the driver, whatever the device says. */
static bool on_zone(void *ctx, const struct nsdk_nvme_zone *zone)
{
	struct io *io = ctx;
	const struct nsdk_nvme_zoned *zoned = nsdk_nvme_ns_zoned(io->ns);

	if (!io->busy)
		liar_found("a zone of a report that is over");
	if (zoned && !liar_misled() &&
	    (zone->zslba < io->next_zone || zone->zslba >= nsdk_nvme_ns_blocks(io->ns) ||
	     zone->zcap > zoned->zone_blocks ||
	     (zone->wp != UINT64_MAX && (zone->wp < zone->zslba || zone->wp - zone->zslba > zone->zcap))))
		liar_found("a zone at %llu that cannot be", (unsigned long long)zone->zslba);
	io->next_zone = zone->zslba + 1;
	return true;
}

static int start_report(struct io *io, struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_zone_report_opts opts = { .opts_bytes = sizeof(opts) };

	opts.extended = io->flags & 1;
	opts.slba = io->lba % 256;
	io->next_zone = 0;
	return nsdk_nvme_zone_report_start(io->ns, qp, &opts, io->iov[0].iov_base, io->iov[0].iov_len,
					   on_zone, io, &io->report);
}

static void look_at_reports(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct nsdk_nvme_cpl cpl = { 0 };

		if (host.ios[i].report == NULL ||
		    nsdk_nvme_zone_report_poll(host.ios[i].report, &cpl) == -EAGAIN)
			continue;
		host.ios[i].report = NULL;
		on_done(&host.ios[i], &cpl);
	}
}

/* The first or a later namespace; NULL where there is none. */
static struct nsdk_nvme_ns *namespace_of(const struct io *io)
{
	return nsdk_nvme_ns_get(host.ctrlr, nsdk_nvme_ns_next(host.ctrlr, io->flags >> 6));
}

static void submit(struct io *io)
{
	struct nsdk_nvme_qpair *qp = host.qpairs[io->qpair];
	struct nsdk_nvme_ns *ns = namespace_of(io);
	uint32_t flags = io->flags & 1 ? NSDK_NVME_RW_FUA : 0;
	bool writes = io->kind == READ || io->kind == READV || io->kind == RAW_READ ||
		      io->kind == RAW_ADMIN || io->kind == ZONE_REPORT || io->kind == PLACEMENT_STATUS;
	void *first = io->iov[0].iov_base;
	struct nsdk_nvme_cmd raw = { 0 };
	int rc;

	if (!ns || (!qp && io->kind != RAW_ADMIN))
		return;
	/* Lines of the payload are dirty now; the device may not see what was there before. */
	memset(host.region + slot_at(io), ++host.fill, io->bytes);
	if (io->kind == DSM) {
		struct nsdk_nvme_dsm_range range = { .slba = io->lba };

		for (; range.blocks < io->iov[0].iov_len / sizeof(range); range.blocks++)
			memcpy((uint8_t *)first + range.blocks * sizeof(range), &range, sizeof(range));
	}
	if (io->kind == COPY) {
		struct nsdk_nvme_copy_range range = { .slba = io->lba, .blocks = 3 };

		for (size_t at = 0; at < io->iov[0].iov_len; at += sizeof(range))
			memcpy((uint8_t *)first + at, &range, sizeof(range));
	}
	memcpy(host.shadow + slot_at(io), host.region + slot_at(io), SLOT_BYTES);
	mark(io, writes ? DEVICE_WRITES : DEVICE_READS);
	/* Callbacks may run before it returns: of this one they must not. */
	io->busy = true;
	switch (io->kind) {
	case READ:
		rc = nsdk_nvme_read(ns, qp, first, io->lba, io->blocks, flags, on_done, io);
		break;
	case WRITE:
		rc = nsdk_nvme_write(ns, qp, first, io->lba, io->blocks, flags, on_done, io);
		break;
	case COMPARE:
		rc = nsdk_nvme_compare(ns, qp, first, io->lba, io->blocks, flags, on_done, io);
		break;
	case READV:
		rc = nsdk_nvme_readv(ns, qp, io->iov, io->pieces, io->lba, io->blocks, flags, on_done, io);
		break;
	case WRITEV:
		rc = nsdk_nvme_writev(ns, qp, io->iov, io->pieces, io->lba, io->blocks, flags, on_done, io);
		break;
	case FLUSH:
		rc = nsdk_nvme_flush(ns, qp, on_done, io);
		break;
	case WRITE_ZEROES:
		rc = nsdk_nvme_write_zeroes(ns, qp, io->lba, io->blocks, flags, on_done, io);
		break;
	case COMPAREV:
		rc = nsdk_nvme_comparev(ns, qp, io->iov, io->pieces, io->lba, io->blocks, flags, on_done, io);
		break;
	case COMPARE_AND_WRITE:
		rc = nsdk_nvme_compare_and_write(ns, qp, first, (uint8_t *)first + io->iov[0].iov_len / 2,
						 io->lba, io->blocks, flags, on_done, io);
		break;
	case VERIFY:
		rc = nsdk_nvme_verify(ns, qp, io->lba, io->blocks, 0, on_done, io);
		break;
	case WRITE_UNCORRECTABLE:
		rc = nsdk_nvme_write_uncorrectable(ns, qp, io->lba, io->blocks, on_done, io);
		break;
	case COPY:
		rc = nsdk_nvme_copy(ns, qp, first,
				    (unsigned)(io->iov[0].iov_len / sizeof(struct nsdk_nvme_copy_range)),
				    io->lba, flags, on_done, io);
		break;
	case RAW_READ:
		raw.opcode = NSDK_NVME_NVM_READ;
		raw.cdw10 = (uint32_t)io->lba;
		raw.cdw11 = (uint32_t)(io->lba >> 32);
		raw.cdw12 = io->blocks - 1;
		rc = nsdk_nvme_io_passthru(ns, qp, &raw, first, io->iov[0].iov_len, NSDK_DMA_FROM_DEVICE,
					   on_done, io);
		break;
	case RAW_ADMIN:
		raw.opcode = NSDK_NVME_ADMIN_IDENTIFY;
		raw.cdw10 = NSDK_NVME_CNS_CTRLR;
		rc = nsdk_nvme_admin_passthru(host.ctrlr, &raw, first, io->iov[0].iov_len,
					      NSDK_DMA_FROM_DEVICE, RAW_TIMEOUT_NS, on_done, io);
		break;
	case DSM:
		rc = nsdk_nvme_dsm(ns, qp, first, (unsigned)(io->iov[0].iov_len / 16),
				   NSDK_NVME_DSM_DEALLOCATE, on_done, io);
		break;
	case ZONE_APPEND:
		rc = nsdk_nvme_zone_append(ns, qp, first, io->lba & ~(uint64_t)127, io->blocks, flags,
					   on_done, io);
		break;
	case ZONE_SEND:
		rc = nsdk_nvme_zone_mgmt_send(ns, qp, io->lba & ~(uint64_t)127,
					      (enum nsdk_nvme_zone_action)(io->blocks % 7),
					      io->flags & 1 ? NSDK_NVME_ZONE_SELECT_ALL : 0, on_done, io);
		break;
	case ZONE_REPORT:
		io->ns = ns;
		rc = start_report(io, qp);
		break;
	case PLACEMENT_STATUS:
		io->ns = ns;
		rc = nsdk_nvme_ruh_status(ns, qp, first, io->iov[0].iov_len, on_done, io);
		break;
	default:
		rc = -EINVAL;
		break;
	}
	if (rc > 0)
		liar_found("an I/O call returned %d", rc);
	if (rc != 0) {
		if (!io->busy)
			liar_found("a callback of I/O that was refused with %d", rc);
		mark(io, NOBODY);
		io->busy = false;
	}
}

static bool takes_pieces(uint8_t kind)
{
	return kind == READV || kind == WRITEV || kind == COMPAREV;
}

/* An I/O as six bytes say it: kind and slot are known, the rest is its place and shape. */
static void begin_io(const uint8_t *op)
{
	static const uint16_t counts[] = { 1, 2, 7, 8, 9, 15, 16, 17, 24, 33, 64, 65, 100, 127, 128, 0 };
	struct io *io = &host.ios[op[1] % SLOTS];
	struct nsdk_nvme_ns *ns;
	size_t block, left, offset, part;

	if (op[0] % KINDS == PLACEMENT_LOG)
		ask_placement(op);
	if (io->busy || op[0] % KINDS == PLACEMENT_LOG)
		return;
	*io = (struct io){
		.kind = op[0] % KINDS,
		.qpair = op[0] % KINDS == RAW_ADMIN ? QPAIRS : op[1] / 16 % QPAIRS,
		.again = op[5] & 2,
		.flags = op[5],
		.lba = op[3] & 0xf0 ? op[3] * 5u : UINT64_MAX - op[3],
		.blocks = counts[op[2] % 16],
	};
	ns = namespace_of(io);
	block = ns ? nsdk_nvme_ns_block_bytes(ns) : 0;
	if (ns && op[2] & 16) /* at the end, or just beyond it */
		io->lba = nsdk_nvme_ns_blocks(ns) - io->blocks + (op[2] & 32 ? 1 : 0);
	/* Where the payload begins: on a page, a line, a dword, or nowhere good. */
	offset = op[4] % 8 == 0 ? 0 : (size_t)(op[4] / 8) * (op[4] % 8 == 7 ? 1 : op[4] & 1 ? 64 : 4);
	if (io->kind == DSM || io->kind == COPY)
		offset &= ~(size_t)7; /* a pointer to ranges is as well aligned as they are */
	left = block * io->blocks;
	if (io->kind == DSM)
		left = (op[2] % 16 + 1u) * sizeof(struct nsdk_nvme_dsm_range);
	else if (io->kind == COPY)
		left = (op[2] % 16 + 1u) * sizeof(struct nsdk_nvme_copy_range);
	else if (io->kind == COMPARE_AND_WRITE)
		left *= 2;
	else if (io->kind == RAW_ADMIN)
		left = 4096;
	else if (io->kind == PLACEMENT_STATUS)
		left = 64 * (op[2] % 16 + 1u);
	else if (io->kind == ZONE_REPORT)
		left = 64 + 64 * (op[2] % 16);
	/* Nobody checks a raw command against its buffer. */
	if (offset + left > SLOT_BYTES || (io->kind == RAW_READ && left == 0))
		return;
	io->bytes = offset + left;
	io->iov[0] = (struct iovec){ host.region + slot_at(io) + offset, left };
	io->pieces = 1;
	/* Pieces of the one payload, each after the other or with pages left out between. */
	for (unsigned cuts = takes_pieces(io->kind) ? op[5] >> 2 & 7 : 0; cuts > 0; cuts--) {
		struct iovec *last = &io->iov[io->pieces - 1];

		part = ((size_t)op[2] * 67 + (size_t)cuts * op[4] * 4) % 9000 / (op[4] & 1 ? 64 : 4) *
		       (op[4] & 1 ? 64 : 4);
		if (part == 0 || part >= last->iov_len)
			break;
		io->iov[io->pieces] =
			(struct iovec){ (uint8_t *)last->iov_base + part, last->iov_len - part };
		last->iov_len = part;
		if (op[5] & 32) {
			struct iovec *next = &io->iov[io->pieces];
			size_t gap = 4096;

			if ((size_t)((uint8_t *)next->iov_base - host.region) - slot_at(io) + gap +
			    next->iov_len <= SLOT_BYTES) {
				next->iov_base = (uint8_t *)next->iov_base + gap;
				io->bytes += gap;
			}
		}
		io->pieces++;
	}
	submit(io);
}

static void create_qpair(const uint8_t *op)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_nvme_qpair **qp = &host.qpairs[op[1] % QPAIRS];

	if (*qp)
		return;
	opts.entries = op[2] % 64;
	opts.max_requests = op[3] % 64;
	if (nsdk_nvme_qpair_create(host.ctrlr, &opts, qp) != 0)
		*qp = NULL;
}

/* The callbacks of these must not submit again: it ends. */
static void last_time(unsigned qpair)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (host.ios[i].qpair == qpair)
			host.ios[i].again = false;
}

static void all_called_back(unsigned qpair)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (host.ios[i].qpair == qpair && host.ios[i].busy)
			liar_found("I/O that was never called back, of kind %u", host.ios[i].kind);
}

static void destroy_qpair(unsigned index)
{
	struct nsdk_nvme_qpair *qp = host.qpairs[index];

	if (!qp)
		return;
	last_time(index);
	for (unsigned i = 0; i < SLOTS; i++)
		if (host.ios[i].qpair == index && host.ios[i].report)
			nsdk_nvme_zone_report_stop(host.ios[i].report);
	nsdk_nvme_qpair_destroy(qp);
	host.qpairs[index] = NULL;
	look_at_reports();
	all_called_back(index);
}

static void operate(const uint8_t *op)
{
	struct nsdk_nvme_qpair *qp = host.qpairs[op[1] % QPAIRS];

	switch (op[0] >> 3) {
	case 0 ... 19:
		begin_io(op);
		break;
	case 20:
		create_qpair(op);
		break;
	case 21:
		destroy_qpair(op[1] % QPAIRS);
		break;
	case 22:
		nsdk_nvme_ctrlr_poll(host.ctrlr);
		break;
	case 23:
		if (qp)
			nsdk_nvme_qpair_submit(qp);
		break;
	default:
		for (unsigned i = 0; qp && i <= op[2] % 16; i++)
			if (nsdk_nvme_qpair_poll(qp, op[3] % 8) > (int)SLOTS && !liar_misled())
				liar_found("a poll handled more than there was");
		break;
	}
	look_at_reports();
	qp = host.qpairs[op[1] % QPAIRS];
	if (qp && nsdk_nvme_qpair_outstanding(qp) > SLOTS)
		liar_found("%u I/Os are outstanding, of %u", nsdk_nvme_qpair_outstanding(qp), SLOTS);
}

/* ---- A run ---- */

static void quiet(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	if (strlen(room) == 0 || strlen(message) == 0)
		liar_found("an empty sentence");
}

/*
 * Two domains: one with a pool, and one with registered memory, since each line that a device may reach
 * past the caches costs the cache model time, and a pool has at least 2 MiB of them.
 */
static void prepare(void)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts), .no_huge = true };
	struct nsdk_dma_pool_opts opts = { .opts_bytes = sizeof(opts), .numa_node = -1 };
	struct nsdk_dma_pool *pool;
	void *va;

	mem_opts.window_bytes = (size_t)64 << 20;
	nsdk_log_set_sink(quiet, NULL);
	if (nsdk_mem_create(&mem_opts, &host.mems[0]) || nsdk_mem_create(&mem_opts, &host.mems[1]) ||
	    nsdk_dma_pool_create(host.mems[0], &opts, &pool) ||
	    nsdk_dma_alloc(pool, REGION_BYTES, 4096, &va))
		liar_found("no memory for payloads");
	host.regions[0] = va;
	host.regions[1] = aligned_alloc(4096, REGION_BYTES);
	if (!host.regions[1] || nsdk_mem_register(host.mems[1], host.regions[1], REGION_BYTES))
		liar_found("no registered memory for payloads");
}

static bool attach(const uint8_t *header)
{
	static const unsigned mqes[] = { 2, 3, 4, 8, 16, 64, 256, 1024 };
	static const char *const nosnoops[] = { "none", "all", "data", "all" };
	static const unsigned admin[] = { 0, 2, 3, 16 };
	struct nsdk_nvme_opts opts = {
		.opts_bytes = sizeof(opts),
		.policy = header[0] & 1 ? NSDK_POLICY_AUTO : NSDK_POLICY_COHERENT,
		.io_queues = header[2] % 5,
		/* Most of the Identify data there is asks for more than can be had. */
		.host_memory_bytes = (size_t)1 << 20,
		.admin_entries = admin[header[2] / 8 % 4],
		.cmb = header[5] / 32 % 4,
	};
	unsigned which = header[0] / 4 % 4 != 0;
	char words[300];

	snprintf(words, sizeof(words),
		 "emu:liar,size=1M,lba=%d,mdts=%d,namespaces=%d,mqes=%u,queues=%d,nosnoop=%s,seed=%u",
		 header[0] & 2 ? 4096 : 512, header[1] % 6, header[1] / 8 % 3 + 1, mqes[header[3] % 8],
		 header[3] / 8 % 4 + 1, nosnoops[header[0] / 4 % 4], header[4] + 1u);
	if (header[5] % 4 == 3)
		snprintf(words + strlen(words), sizeof(words) - strlen(words),
			 ",zoned=1,zone=64K,max_open=2,max_active=3,zone_cross=%d,zones_ro=%d,zones_offline=%d",
			 header[5] / 4 % 2, header[5] / 8 % 2, header[5] / 16 % 2);
	else if (header[5] % 4 == 2)
		snprintf(words + strlen(words), sizeof(words) - strlen(words),
			 ",fdp=1,fdp_ruh=%d,fdp_rg=%d,fdp_runs=64K", header[5] / 4 % 4 + 1,
			 header[5] / 16 % 2 + 1);
	if (header[5] / 128)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), ",cmb=64K");
	if (nsdk_device_attach(words, NULL, &host.dev))
		liar_found("%s cannot be made", words);
	host.region = host.regions[which];
	if (nsdk_nvme_attach(host.dev, host.mems[which], &opts, &host.ctrlr))
		host.ctrlr = NULL;
	if (!host.ctrlr)
		return false;
	host.nosnoop = nsdk_nvme_ctrlr_dma_attr(host.ctrlr) == NSDK_DMA_NOSNOOP;
	return true;
}

static void take_down(void)
{
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation first;
	char sentence[400];
	uint32_t command;

	for (unsigned i = 0; i < QPAIRS; i++)
		destroy_qpair(i);
	last_time(QPAIRS);
	if (host.ctrlr && nsdk_nvme_detach(host.ctrlr) == -EBUSY)
		liar_found("queue pairs are left of none");
	host.ctrlr = NULL;
	all_called_back(QPAIRS);
	if (!liar_misled() && !nsdk_device_is_gone(host.dev) &&
	    nsdk_device_cfg_read(host.dev, PCI_COMMAND, 2, &command) == 0 && !liar_misled() &&
	    (command & PCI_COMMAND_MASTER))
		liar_found("bus mastering is on after detach");
	nsdk_device_detach(host.dev);
	nsdk_cache_model_stats(&stats);
	if (stats.violations_total == 0 || liar_misled())
		return;
	nsdk_cache_model_violations(&first, 1);
	nsdk_violation_format(&first, sentence, sizeof(sentence));
	liar_found("%s", sentence);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct liar_lie lies[LIES_MAX];
	unsigned count;

	if (!host.mems[0])
		prepare();
	if (bytes < HEADER_BYTES)
		return 0;
	count = data[8] % (LIES_MAX + 1);
	if (bytes < HEADER_BYTES + count * sizeof(lies[0]))
		return 0;
	memcpy(lies, data + HEADER_BYTES, count * sizeof(lies[0]));
	liar_reset(lies, count, &liar_host);
	nsdk_cache_model_reset();
	memset(host.ios, 0, sizeof(host.ios));
	memset(host.whose, NOBODY, sizeof(host.whose));
	if (attach(data)) {
		size_t at = HEADER_BYTES + count * sizeof(lies[0]);

		for (unsigned i = 0; i < OPS_MAX && at + 6 <= bytes; i++, at += 6)
			operate(data + at);
	}
	take_down();
	return 0;
}
