/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moves blocks between an NVMe namespace and a file through libnsdk, in every shape of I/O that the
 * driver knows: single blocks, more than the largest transfer, odd sizes, odd places, scattered.
 *
 *	nvme_rw DEVICE read|write LBA COUNT FILE [--ns=N] [--policy=coherent|auto|nosnoop] [--seed=N]
 *
 * The VM lab uses it to see that this driver and the kernel's agree about what is on a disk. Without
 * arguments it tests itself on an emulated controller.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define DEPTH 6u
#define MAX_PIECES 32u
#define PATIENCE_NS (60 * 1000000000ull)

struct job {
	const char *device, *file;
	bool write;
	uint64_t lba, count;
	uint32_t nsid;
	enum nsdk_policy policy;
	unsigned seed;
};

struct io {
	struct run *run;
	uint8_t *buf;
	struct iovec iov[MAX_PIECES];
	unsigned pieces;
	uint64_t lba;
	uint32_t blocks;
	bool busy;
};

struct run {
	const struct job *job;
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_nvme_ns *ns;
	struct nsdk_dma_pool *pool;
	struct io ios[DEPTH];
	size_t buf_bytes;
	size_t block_bytes;
	uint64_t done_blocks;
	unsigned seed;
	int fd;
	int error;
};

static int say(const char *what, const char *why)
{
	fprintf(stderr, "nvme_rw: %s: %s\n", what, why);
	return -1;
}

/* One piece of the file, from or to the memory of an I/O. */
static int move_file(struct io *io)
{
	const struct run *run = io->run;
	off_t at = (off_t)((io->lba - run->job->lba) * run->block_bytes);

	for (unsigned i = 0; i < io->pieces; i++) {
		size_t left = io->iov[i].iov_len;
		uint8_t *buf = io->iov[i].iov_base;

		while (left) {
			ssize_t n = run->job->write ? pread(run->fd, buf, left, at) :
						      pwrite(run->fd, buf, left, at);

			if (n < 0)
				return say(run->job->file, strerror(errno));
			if (n == 0)
				return say(run->job->file, "is shorter than COUNT blocks");
			buf += n;
			at += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

static void io_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct io *io = ctx;
	struct run *run = io->run;

	io->busy = false;
	run->done_blocks += io->blocks;
	if (!nsdk_nvme_cpl_ok(cpl)) {
		fprintf(stderr, "nvme_rw: %s of %u blocks at %llu: %s\n",
			run->job->write ? "write" : "read", io->blocks, (unsigned long long)io->lba,
			nsdk_nvme_status_text(cpl->status));
		run->error = -EIO;
	} else if (!run->job->write && move_file(io) != 0) {
		run->error = -EIO;
	}
}

static unsigned pick(struct run *run, unsigned below)
{
	return (unsigned)rand_r(&run->seed) % below;
}

/* The next I/O's shape: how many blocks, and where its memory lies. */
static void shape(struct run *run, struct io *io, uint64_t left)
{
	size_t room = run->buf_bytes / 2; /* the rest is for gaps between pieces */
	uint32_t most = (uint32_t)(room / run->block_bytes);
	size_t bytes, offset = 0;

	switch (pick(run, 5)) {
	case 0:
		io->blocks = 1;
		break;
	case 1:
		io->blocks = 1 + pick(run, 16);
		break;
	case 2: /* one page, the usual thing */
		io->blocks = run->block_bytes < 4096 ? (uint32_t)(4096 / run->block_bytes) : 1;
		break;
	default:
		io->blocks = 1 + pick(run, most);
	}
	if (io->blocks > left)
		io->blocks = (uint32_t)left;
	if (io->blocks > most)
		io->blocks = most;
	bytes = io->blocks * run->block_bytes;
	/* Whole lines, which the no-snoop path wants; not whole pages, which nobody does. */
	if (pick(run, 2))
		offset = NSDK_LINE_BYTES * pick(run, 64);
	io->pieces = 0;
	while (bytes) {
		struct iovec *piece = &io->iov[io->pieces];
		size_t len = run->block_bytes * (1 + pick(run, 64));

		if (len > bytes || io->pieces + 1 == MAX_PIECES || pick(run, 3) == 0)
			len = bytes;
		piece->iov_base = io->buf + offset;
		piece->iov_len = len;
		io->pieces++;
		bytes -= len;
		offset += len;
		/* The next piece: right behind, at the next page, or a few lines on. */
		switch (bytes ? pick(run, 3) : 0) {
		case 1:
			offset = (offset + 4095) & ~(size_t)4095;
			break;
		case 2:
			offset += NSDK_LINE_BYTES * pick(run, 64);
			break;
		default:
			break;
		}
	}
}

static int submit(struct run *run, struct io *io)
{
	if (io->pieces == 1 && run->job->write)
		return nsdk_nvme_write(run->ns, run->qp, io->iov[0].iov_base, io->lba, io->blocks, 0,
				       io_done, io);
	if (io->pieces == 1)
		return nsdk_nvme_read(run->ns, run->qp, io->iov[0].iov_base, io->lba, io->blocks, 0,
				      io_done, io);
	if (run->job->write)
		return nsdk_nvme_writev(run->ns, run->qp, io->iov, (int)io->pieces, io->lba,
					io->blocks, 0, io_done, io);
	return nsdk_nvme_readv(run->ns, run->qp, io->iov, (int)io->pieces, io->lba, io->blocks, 0,
			       io_done, io);
}

static int move(struct run *run)
{
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
	uint64_t next = run->job->lba, end = next + run->job->count;

	while (run->done_blocks < run->job->count) {
		int handled;

		for (unsigned i = 0; i < DEPTH && !run->error && next < end; i++) {
			struct io *io = &run->ios[i];
			int err;

			if (io->busy)
				continue;
			io->lba = next;
			shape(run, io, end - next);
			if (run->job->write && move_file(io) != 0)
				return -EIO;
			err = submit(run, io);
			if (err == -EAGAIN)
				break;
			if (err) {
				fprintf(stderr, "nvme_rw: %u blocks at %llu in %u pieces: %s\n",
					io->blocks, (unsigned long long)io->lba, io->pieces,
					strerror(-err));
				return err;
			}
			io->busy = true;
			next += io->blocks;
		}
		handled = nsdk_nvme_qpair_poll(run->qp, 0);
		if (handled < 0)
			return handled;
		if (run->error)
			return run->error;
		if (handled > 0)
			deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
		else if (nsdk_clock_ns() > deadline_ns)
			return say(run->job->device, "nothing has been completed for a minute");
	}
	return 0;
}

/* Makes what was written durable before anybody else looks. */
static int flush(struct run *run)
{
	struct io *io = &run->ios[0];
	uint64_t deadline_ns = nsdk_clock_ns() + PATIENCE_NS;
	int err;

	if (!run->job->write)
		return 0;
	io->blocks = 0;
	io->busy = true;
	err = nsdk_nvme_flush(run->ns, run->qp, io_done, io);
	while (!err && io->busy) {
		int handled = nsdk_nvme_qpair_poll(run->qp, 0);

		if (handled < 0)
			err = handled;
		else if (nsdk_clock_ns() > deadline_ns)
			err = say(run->job->device, "the flush has not been completed for a minute");
	}
	return err ? err : run->error;
}

static bool is_emulated(const char *device)
{
	return strncmp(device, "emu:", 4) == 0;
}

static int set_up(struct run *run)
{
	const struct job *job = run->job;
	struct nsdk_device_opts device = { .opts_bytes = sizeof(device), .bind = true };
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem), .no_huge = is_emulated(job->device) };
	struct nsdk_nvme_opts nvme = { .opts_bytes = sizeof(nvme), .policy = job->policy };
	struct nsdk_dma_pool_opts pool = { .opts_bytes = sizeof(pool) };
	uint32_t nsid = job->nsid;
	struct stat st;

	run->fd = open(job->file, job->write ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC, 0666);
	if (run->fd < 0)
		return say(job->file, strerror(errno));
	if (nsdk_device_attach(job->device, &device, &run->dev) != 0 ||
	    nsdk_mem_create(&mem, &run->mem) != 0 ||
	    nsdk_nvme_attach(run->dev, run->mem, &nvme, &run->ctrlr) != 0)
		return -1;
	if (!nsid)
		nsid = nsdk_nvme_ns_next(run->ctrlr, 0);
	run->ns = nsdk_nvme_ns_get(run->ctrlr, nsid);
	if (!run->ns)
		return say(job->device, "no such namespace");
	run->block_bytes = nsdk_nvme_ns_block_bytes(run->ns);
	if (job->count == 0 || job->count > nsdk_nvme_ns_blocks(run->ns) ||
	    job->lba > nsdk_nvme_ns_blocks(run->ns) - job->count)
		return say(job->device, "LBA and COUNT go beyond the namespace");
	if (job->write && (fstat(run->fd, &st) != 0 ||
			   (uint64_t)st.st_size < job->count * run->block_bytes))
		return say(job->file, "is shorter than COUNT blocks");
	if (nsdk_nvme_qpair_create(run->ctrlr, NULL, &run->qp) != 0)
		return -1;
	pool.attr = nsdk_nvme_ctrlr_dma_attr(run->ctrlr);
	pool.numa_node = nsdk_device_numa_node(run->dev);
	if (nsdk_dma_pool_create(run->mem, &pool, &run->pool) != 0)
		return -1;
	/* Half of a buffer is data: some larger than any transfer, some much smaller. */
	run->buf_bytes = 2 * nsdk_nvme_ctrlr_max_transfer_bytes(run->ctrlr) + (size_t)(512 << 10);
	for (unsigned i = 0; i < DEPTH; i++) {
		void *buf;

		if (nsdk_dma_alloc(run->pool, run->buf_bytes, 4096, &buf) != 0)
			return -1;
		run->ios[i].run = run;
		run->ios[i].buf = buf;
	}
	return 0;
}

/* In the order that keeps memory until the device is off it. */
static int tear_down(struct run *run)
{
	int result = 0;

	if (nsdk_nvme_qpair_destroy(run->qp) != 0)
		result = -1;
	if (nsdk_nvme_detach(run->ctrlr) != 0)
		result = -1;
	nsdk_device_detach(run->dev);
	for (unsigned i = 0; i < DEPTH; i++)
		if (run->ios[i].buf)
			nsdk_dma_free(run->pool, run->ios[i].buf);
	if (run->pool && nsdk_dma_pool_destroy(run->pool) != 0)
		result = -1;
	if (run->mem && nsdk_mem_destroy(run->mem) != 0)
		result = -1;
	if (run->fd >= 0 && close(run->fd) != 0)
		result = say(run->job->file, strerror(errno));
	return result;
}

static int do_job(const struct job *job)
{
	struct run run = { .job = job, .fd = -1, .seed = job->seed };
	int result = set_up(&run);

	if (result == 0)
		result = move(&run);
	if (result == 0)
		result = flush(&run);
	if (tear_down(&run) != 0)
		result = -1;
	return result;
}

/* ---- Without arguments: a test of itself ---- */

static int test_failed(const char *name, const char *why)
{
	printf("not ok - nvme_rw: %s: %s\n", name, why);
	return 1;
}

static bool same_files(const char *a, const char *b, size_t bytes)
{
	uint8_t *x = malloc(2 * bytes);
	int fa = open(a, O_RDONLY), fb = open(b, O_RDONLY);
	bool same = x && pread(fa, x, bytes, 0) == (ssize_t)bytes &&
		    pread(fb, x + bytes, bytes, 0) == (ssize_t)bytes && memcmp(x, x + bytes, bytes) == 0;

	close(fa);
	close(fb);
	free(x);
	return same;
}

static int test_one(const char *dir, const char *options, enum nsdk_policy policy, unsigned seed)
{
	char device[300], disk[200], from[200], to[200], name[400];
	struct job job = { .device = device, .policy = policy, .seed = seed, .lba = 3, .count = 2001 };
	size_t bytes = 2001 * (strstr(options, "lba=4096") ? 4096 : 512);
	int fd, random_fd;
	char chunk[4096];

	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(from, sizeof(from), "%s/from", dir);
	snprintf(to, sizeof(to), "%s/to", dir);
	/* The image outlives the controller, so what is read back was really stored. */
	snprintf(device, sizeof(device), "emu:nvme,size=16M,file=%s%s", disk, options);
	snprintf(name, sizeof(name), "round trip, %s, policy %s", options + 1,
		 nsdk_policy_name(policy));
	unlink(disk);
	fd = open(from, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	random_fd = open("/dev/urandom", O_RDONLY);
	for (size_t at = 0; at < bytes; at += sizeof(chunk))
		if (read(random_fd, chunk, sizeof(chunk)) != sizeof(chunk) ||
		    write(fd, chunk, sizeof(chunk)) != sizeof(chunk))
			return test_failed(name, strerror(errno));
	close(fd);
	close(random_fd);
	job.write = true;
	job.file = from;
	if (do_job(&job) != 0)
		return test_failed(name, "the write failed");
	job.write = false;
	job.file = to;
	job.seed++;
	if (do_job(&job) != 0)
		return test_failed(name, "the read failed");
	if (!same_files(from, to, bytes))
		return test_failed(name, "what was read is not what was written");
	printf("ok - nvme_rw: %s\n", name);
	return 0;
}

static int test_all(void)
{
	char dir[] = "/tmp/nsdk-nvme-rw.XXXXXX", path[200];
	static const char *const files[] = { "disk", "from", "to" };
	int failures = 0;

	if (!mkdtemp(dir))
		return test_failed("a folder in /tmp", strerror(errno));
	failures += test_one(dir, ",lba=512", NSDK_POLICY_COHERENT, 1);
	failures += test_one(dir, ",lba=512,mdts=1", NSDK_POLICY_COHERENT, 2);
	failures += test_one(dir, ",lba=4096,iova_bits=39", NSDK_POLICY_COHERENT, 3);
	failures += test_one(dir, ",lba=512,nosnoop=all,seed=4", NSDK_POLICY_NOSNOOP, 4);
	failures += test_one(dir, ",lba=4096,mdts=2,nosnoop=data,seed=5", NSDK_POLICY_AUTO, 5);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	return failures ? 1 : 0;
}

/* ---- The command line ---- */

static int usage(void)
{
	fprintf(stderr, "usage: nvme_rw DEVICE read|write LBA COUNT FILE [--ns=N] "
			"[--policy=coherent|auto|nosnoop] [--seed=N]\n");
	return 2;
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

int main(int argc, char **argv)
{
	struct job job = { .seed = 1 };
	uint64_t value;

	if (argc == 1)
		return test_all();
	if (argc < 6)
		return usage();
	job.device = argv[1];
	job.write = strcmp(argv[2], "write") == 0;
	job.file = argv[5];
	if ((!job.write && strcmp(argv[2], "read") != 0) || !number(argv[3], &job.lba) ||
	    !number(argv[4], &job.count))
		return usage();
	for (int i = 6; i < argc; i++) {
		if (strncmp(argv[i], "--ns=", 5) == 0 && number(argv[i] + 5, &value))
			job.nsid = (uint32_t)value;
		else if (strncmp(argv[i], "--seed=", 7) == 0 && number(argv[i] + 7, &value))
			job.seed = (unsigned)value;
		else if (strncmp(argv[i], "--policy=", 9) != 0 ||
			 nsdk_policy_parse(argv[i] + 9, &job.policy) != 0)
			return usage();
	}
	return do_job(&job) == 0 ? 0 : 1;
}
