/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs every I/O command that a controller offers, on its first namespace, whose first blocks it
 * overwrites, and checks what each did; and that those which it does not offer are refused.
 *
 *	nvme_commands DEVICE [coherent|auto|nosnoop]
 *
 * The VM lab uses it on controllers that nobody here wrote. Without arguments it tests itself on
 * emulated ones. One line for each check: ok, not ok, or skip with the reason.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define PATIENCE_NS (60 * 1000000000ull)
#define ARENA_BYTES ((size_t)8 << 20)

static struct nsdk_device *dev;
static struct nsdk_mem *mem;
static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct nsdk_dma_pool *pool;
static uint8_t *arena, *back;
static const struct nsdk_nvme_id_ctrl *id;
static uint32_t block, salt = 1;
static int failures;
static const char *title;

static bool check(bool good, const char *name)
{
	printf("%s - %s: %s%s\n", good ? "ok" : "not ok", title, name, good ? "" : ": it did not");
	failures += !good;
	return good;
}

static void skip(const char *name, const char *why)
{
	printf("skip - %s: %s: %s\n", title, name, why);
}

/* ---- One command ---- */

struct done {
	int count;
	uint16_t status;
};
static struct done once;

static void on_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct done *done = ctx;

	done->count++;
	done->status = cpl->status & 0xffe;
}

/* What became of a call that goes by &once: its status, or -1 and why. */
static int finish(int rc, const char *call)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;

	if (rc) {
		fprintf(stderr, "%s: %s\n", call, strerror(-rc));
		return -1;
	}
	while (once.count == 0) {
		rc = nsdk_nvme_qpair_poll(qp, 0);
		if (rc < 0 || nsdk_clock_ns() > deadline_ns) {
			fprintf(stderr, "%s: %s\n", call, rc < 0 ? strerror(-rc) : "no answer");
			return -1;
		}
	}
	if (once.status)
		fprintf(stderr, "%.60s: %s\n", call, nsdk_nvme_status_text(once.status));
	return once.status;
}
#define RUN(call) (once.count = 0, finish(call, #call))

static void fill(uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		salt = salt * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(salt >> 24);
	}
}

static bool put(const uint8_t *buf, uint64_t lba, uint32_t count)
{
	return RUN(nsdk_nvme_write(ns, qp, buf, lba, count, NSDK_NVME_RW_FUA, on_done, &once)) == 0;
}

static bool is_there(const uint8_t *expected, uint64_t lba, uint32_t count)
{
	memset(back, 0x5a, (size_t)count * block);
	return RUN(nsdk_nvme_read(ns, qp, back, lba, count, 0, on_done, &once)) == 0 &&
	       memcmp(back, expected, (size_t)count * block) == 0;
}

static bool is_media(int status, unsigned code)
{
	return status == NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, code);
}

/* ---- The commands ---- */

static void blocks_without_data(void)
{
	uint32_t all = (uint32_t)nsdk_nvme_ns_blocks(ns);
	static uint8_t zeroes[16 << 12];
	int rc;

	fill(arena, 64 * block);
	check(put(arena, 0, 64), "writes with FUA");
	if (id->oncs & NSDK_NVME_ONCS_WRITE_ZEROES)
		check(RUN(nsdk_nvme_write_zeroes(ns, qp, 3, 16, 0, on_done, &once)) == 0 &&
			      is_there(zeroes, 3, 16) && is_there(arena, 0, 3) &&
			      is_there(arena + 19 * block, 19, 45), "writes zeroes");
	else
		skip("writes zeroes", "the controller does not");
	if (id->oncs & NSDK_NVME_ONCS_VERIFY)
		check(RUN(nsdk_nvme_verify(ns, qp, 0, all, 0, on_done, &once)) == 0,
		      "verifies all of a namespace");
	else
		check(nsdk_nvme_verify(ns, qp, 0, 1, 0, on_done, &once) == -EOPNOTSUPP,
		      "Verify, which is not offered, is refused");
	rc = nsdk_nvme_write_uncorrectable(ns, qp, 5, 2, on_done, &once);
	if (!(id->oncs & NSDK_NVME_ONCS_WRITE_UNCORRECTABLE)) {
		check(rc == -EOPNOTSUPP, "Write Uncorrectable, which is not offered, is refused");
		return;
	}
	once.count = 0;
	check(finish(rc, "write uncorrectable") == 0 &&
		      is_media(RUN(nsdk_nvme_read(ns, qp, back, 5, 1, 0, on_done, &once)),
			       NSDK_NVME_SC_UNRECOVERED_READ) &&
		      put(arena, 0, 64) && is_there(arena, 0, 64), "makes blocks unreadable until written");
}

static void dataset_management(void)
{
	struct nsdk_nvme_dsm_range *ranges = (void *)(arena + (2 << 20));
	struct nsdk_nvme_io_ext ext = { .ext_bytes = sizeof(ext), .dsm = NSDK_NVME_RW_DSM_SEQUENTIAL };
	struct iovec iov = { arena, 8 * (size_t)block };

	check(RUN(nsdk_nvme_writev_ext(ns, qp, &iov, 1, 70, 8, &ext, on_done, &once)) == 0 &&
		      is_there(arena, 70, 8), "writes with a hint");
	if (!(id->oncs & NSDK_NVME_ONCS_DSM)) {
		skip("deallocates", "the controller does not");
		return;
	}
	for (unsigned i = 0; i < 200; i++)
		ranges[i] = (struct nsdk_nvme_dsm_range){ .slba = 100 + 2 * i, .blocks = 1 };
	check(RUN(nsdk_nvme_dsm(ns, qp, ranges, 200, NSDK_NVME_DSM_DEALLOCATE, on_done, &once)) == 0 &&
		      is_there(arena, 70, 8), "deallocates 200 ranges, and nothing else");
}

static void compare(void)
{
	if (!(id->oncs & NSDK_NVME_ONCS_COMPARE)) {
		skip("compares", "the controller does not");
		return;
	}
	fill(arena, 64 * block);
	check(put(arena, 7, 64) &&
		      RUN(nsdk_nvme_compare(ns, qp, arena, 7, 64, 0, on_done, &once)) == 0,
	      "finds equal what is");
	arena[40 * block + 17] ^= 4;
	check(is_media(RUN(nsdk_nvme_compare(ns, qp, arena, 7, 64, 0, on_done, &once)),
		       NSDK_NVME_SC_COMPARE_FAILURE), "finds a difference of one bit");
	if (!(id->fuses & NSDK_NVME_FUSES_COMPARE_AND_WRITE)) {
		check(nsdk_nvme_compare_and_write(ns, qp, arena, arena, 0, 1, 0, on_done, &once) ==
			      -EOPNOTSUPP, "Compare and Write, which is not offered, is refused");
		return;
	}
	fill(back, block);
	check(put(arena, 7, 1) &&
		      RUN(nsdk_nvme_compare_and_write(ns, qp, arena, back, 7, 1, 0, on_done, &once)) == 0 &&
		      is_media(RUN(nsdk_nvme_compare_and_write(ns, qp, arena, arena, 7, 1, 0, on_done,
							       &once)), NSDK_NVME_SC_COMPARE_FAILURE),
	      "compares and writes, once");
}

static void copy(void)
{
	const struct nsdk_nvme_id_ns *data = nsdk_nvme_ns_data(ns);
	struct nsdk_nvme_copy_range *ranges = (void *)(arena + (2 << 20));
	bool good = true;

	memset(ranges, 0, 4 * sizeof(*ranges));
	if (!(id->oncs & NSDK_NVME_ONCS_COPY) || !(id->ocfs & NSDK_NVME_OCFS_FORMAT(0)) ||
	    data->msrc < 2 || data->mcl < 32) {
		check(nsdk_nvme_copy(ns, qp, ranges, 1, 0, 0, on_done, &once) == -EOPNOTSUPP,
		      "Copy, which is not offered, is refused");
		return;
	}
	fill(arena, 128 * block);
	good = put(arena, 0, 128);
	/* The list is written anew where the one before it was. */
	for (unsigned round = 0; good && round < 10; round++) {
		ranges[0] = (struct nsdk_nvme_copy_range){ .slba = round, .blocks = 14 };
		ranges[1] = (struct nsdk_nvme_copy_range){ .slba = 90 + round, .blocks = 0 };
		ranges[2] = (struct nsdk_nvme_copy_range){ .slba = 50 - round, .blocks = 8 };
		good = RUN(nsdk_nvme_copy(ns, qp, ranges, 3, 1000, 0, on_done, &once)) == 0 &&
		       is_there(arena + round * block, 1000, 15) &&
		       is_there(arena + (90 + round) * block, 1015, 1) &&
		       is_there(arena + (50 - round) * block, 1016, 9);
	}
	check(good, "copies three ranges, ten times");
	ranges[0] = (struct nsdk_nvme_copy_range){ .slba = 0, .blocks = data->mssrl };
	check(nsdk_nvme_copy(ns, qp, ranges, 1, 1000, 0, on_done, &once) == -EINVAL,
	      "a source range above MSSRL is refused");
}

static void reservations(void)
{
	if (!(id->oncs & NSDK_NVME_ONCS_RESERVATIONS)) {
		check(nsdk_nvme_resv_report(ns, qp, arena, 4096, on_done, &once) == -EOPNOTSUPP,
		      "reservations, which are not offered, are refused");
		return;
	}
	check(RUN(nsdk_nvme_resv_register(ns, qp, NSDK_NVME_RESV_REGISTER, 0, 0, 77, on_done, &once)) == 0 &&
		      RUN(nsdk_nvme_resv_acquire(ns, qp, NSDK_NVME_RESV_ACQUIRE,
						 NSDK_NVME_RESV_WRITE_EXCLUSIVE, 0, 77, 0, on_done,
						 &once)) == 0 &&
		      RUN(nsdk_nvme_resv_release(ns, qp, NSDK_NVME_RESV_CLEAR, NSDK_NVME_RESV_NONE, 0, 77,
						 on_done, &once)) == 0, "registers, acquires and clears");
}

/* Pieces of odd lengths at odd places, in any way that is offered. */
static void scatter(bool nosnoop)
{
	static struct iovec iov[2048];
	unsigned sgls = NSDK_NVME_SGLS_SUPPORT(id->sgls);
	size_t multiple = nosnoop ? 64 : sgls == NSDK_NVME_SGLS_ANY_ALIGNMENT ? 1 : 4;
	bool good = true;

	if (sgls == 0) {
		skip("moves pieces of odd lengths", "the controller takes no SGLs");
		return;
	}
	for (unsigned round = 0; good && round < 40; round++) {
		uint32_t count = 1 + round * 8192 / block / 2;
		size_t bytes = (size_t)count * block, at = 0;
		uint8_t *piece = arena + (4 << 20) + round * multiple;
		int pieces = 0;

		fill(arena, bytes);
		while (at < bytes) {
			size_t part = multiple * (1 + (salt + 7919u * (unsigned)pieces) % (8192 / multiple));

			if (part > bytes - at)
				part = bytes - at;
			memcpy(piece, arena + at, part);
			iov[pieces++] = (struct iovec){ piece, part };
			piece += part + multiple * (1 + (unsigned)pieces % 5);
			at += part;
		}
		good = RUN(nsdk_nvme_writev(ns, qp, iov, pieces, 11, count, 0, on_done, &once)) == 0 &&
		       is_there(arena, 11, count);
		for (int i = 0; i < pieces; i++)
			memset(iov[i].iov_base, 0, iov[i].iov_len);
		good = good && RUN(nsdk_nvme_readv(ns, qp, iov, pieces, 11, count, 0, on_done, &once)) == 0;
		at = 0;
		for (int i = 0; good && i < pieces; at += iov[i++].iov_len)
			good = memcmp(iov[i].iov_base, arena + at, iov[i].iov_len) == 0;
	}
	check(good, "moves pieces of odd lengths, by SGLs");
}

/* ---- One controller ---- */

static int run(const char *device, enum nsdk_policy policy)
{
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts) };
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .policy = policy };
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	bool nosnoop;
	void *va;
	int rc;

	mem_opts.no_huge = strncmp(device, "emu:", 4) == 0;
	rc = nsdk_device_attach(device, NULL, &dev);
	if (rc)
		return rc;
	mem = NULL;
	rc = nsdk_mem_create(&mem_opts, &mem);
	if (rc)
		goto detach_device;
	rc = nsdk_nvme_attach(dev, mem, &opts, &ctrlr);
	if (rc)
		goto detach_device;
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(ctrlr);
	rc = nsdk_dma_pool_create(mem, &pool_opts, &pool);
	if (rc)
		goto detach_ctrlr;
	rc = nsdk_dma_alloc(pool, 2 * ARENA_BYTES, 4096, &va);
	if (rc)
		goto destroy_pool;
	arena = va;
	back = arena + ARENA_BYTES;
	rc = nsdk_nvme_qpair_create(ctrlr, NULL, &qp);
	if (rc)
		goto free_arena;
	ns = nsdk_nvme_ns_get(ctrlr, nsdk_nvme_ns_next(ctrlr, 0));
	block = nsdk_nvme_ns_block_bytes(ns);
	id = nsdk_nvme_ctrlr_data(ctrlr);
	nosnoop = nsdk_coherence_active(nsdk_nvme_ctrlr_coherence(ctrlr));

	blocks_without_data();
	dataset_management();
	compare();
	copy();
	reservations();
	scatter(nosnoop);

	rc = nsdk_nvme_qpair_destroy(qp);
free_arena:
	nsdk_dma_free(pool, arena);
destroy_pool:
	nsdk_dma_pool_destroy(pool);
detach_ctrlr:
	nsdk_nvme_detach(ctrlr);
detach_device:
	nsdk_device_detach(dev);
	if (mem)
		nsdk_mem_destroy(mem);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *title, *device;
		enum nsdk_policy policy;
	} own[] = {
		{ "nvme_commands, coherent", "emu:nvme,size=8M", NSDK_POLICY_COHERENT },
		{ "nvme_commands, no SGLs", "emu:nvme,size=8M,lba=4096,sgl=none", NSDK_POLICY_COHERENT },
		{ "nvme_commands, no-snoop", "emu:nvme,size=8M,nosnoop=all,seed=31", NSDK_POLICY_NOSNOOP },
	};
	enum nsdk_policy policy = NSDK_POLICY_COHERENT;

	if (argc < 2) {
		for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
			title = own[i].title;
			if (run(own[i].device, own[i].policy))
				check(false, "comes up");
		}
		return failures != 0;
	}
	if (argc > 2 && nsdk_policy_parse(argv[2], &policy)) {
		fprintf(stderr, "usage: nvme_commands DEVICE [coherent|auto|nosnoop]\n");
		return 2;
	}
	title = argc > 2 ? argv[2] : "coherent";
	if (run(argv[1], policy))
		check(false, "comes up");
	return failures != 0;
}
