/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts a file into the persistent memory region of an NVMe controller, makes it last, and looks whether it is
 * there when the region has been unmapped and mapped again; or gets it out.
 *
 *	nvme_pmr DEVICE write|read OFFSET BYTES FILE
 *
 * The VM lab uses it to see what of that arrives in the file behind QEMU's region. Without arguments it tests
 * itself on an emulated controller, which loses what nobody asked it to keep.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/mem.h>
#include <nsdk/nvme_memory.h>

struct run {
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_pmr pmr;
};

static int say(const char *what, const char *why)
{
	fprintf(stderr, "nvme_pmr: %s: %s\n", what, why);
	return -1;
}

static void tear_down(struct run *run)
{
	if (run->ctrlr)
		nsdk_nvme_detach(run->ctrlr);
	nsdk_device_detach(run->dev);
	if (run->mem)
		nsdk_mem_destroy(run->mem);
	memset(run, 0, sizeof(*run));
}

static int set_up(struct run *run, const char *device)
{
	struct nsdk_device_opts opts = { .opts_bytes = sizeof(opts), .bind = true };
	struct nsdk_mem_opts mem = { .opts_bytes = sizeof(mem), .no_huge = true };

	memset(run, 0, sizeof(*run));
	if (nsdk_device_attach(device, &opts, &run->dev) != 0 || nsdk_mem_create(&mem, &run->mem) != 0 ||
	    nsdk_nvme_attach(run->dev, run->mem, NULL, &run->ctrlr) != 0 ||
	    nsdk_nvme_pmr_map(run->ctrlr, &run->pmr) != 0) {
		tear_down(run);
		return -1;
	}
	return 0;
}

static int whole_file(const char *path, uint8_t *data, size_t bytes, bool write_it)
{
	int fd = open(path, write_it ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0600);
	ssize_t moved = -1;

	if (fd >= 0)
		moved = write_it ? write(fd, data, bytes) : read(fd, data, bytes);
	if (fd >= 0)
		close(fd);
	return moved == (ssize_t)bytes ? 0 : say(path, fd < 0 ? strerror(errno) : "is shorter than that");
}

/* Bytes into the region, there when it is mapped anew. */
static int put(struct run *run, size_t offset, const uint8_t *data, uint8_t *back, size_t bytes)
{
	nsdk_bar_copy_to((volatile uint8_t *)run->pmr.base + offset, data, bytes);
	if (nsdk_nvme_pmr_flush(run->ctrlr) != 0)
		return say("flush", "failed");
	if (nsdk_nvme_pmr_unmap(run->ctrlr) != 0 || nsdk_nvme_pmr_map(run->ctrlr, &run->pmr) != 0)
		return say("mapping it again", "failed");
	nsdk_bar_copy_from(back, (volatile uint8_t *)run->pmr.base + offset, bytes);
	return memcmp(back, data, bytes) == 0 ? 0 : say("what was stored", "is not there");
}

static int do_job(const char *device, bool write_it, size_t offset, size_t bytes, const char *file)
{
	uint8_t *data = malloc(2 * bytes);
	int result = -1;
	struct run run;

	if (!data || (write_it && whole_file(file, data, bytes, false) != 0) || set_up(&run, device) != 0)
		goto free_data;
	if (offset > run.pmr.bytes || bytes > run.pmr.bytes - offset) {
		say(device, "its region is smaller");
	} else if (write_it) {
		result = put(&run, offset, data, data + bytes, bytes);
	} else {
		nsdk_bar_copy_from(data, (volatile uint8_t *)run.pmr.base + offset, bytes);
		result = whole_file(file, data, bytes, true);
	}
	tear_down(&run);
free_data:
	free(data);
	return result;
}

/* ---- Without arguments: a test of itself ---- */

static int failures;

static void expect(const char *name, bool good)
{
	printf("%s - nvme_pmr: %s%s\n", good ? "ok" : "not ok", name, good ? "" : ": it is not so");
	failures += !good;
}

static bool holds(const struct run *run, size_t offset, uint8_t byte)
{
	uint8_t found;

	nsdk_bar_copy_from(&found, (volatile uint8_t *)run->pmr.base + offset, 1);
	return found == byte;
}

static void store(const struct run *run, size_t offset, uint8_t byte)
{
	nsdk_bar_copy_to((volatile uint8_t *)run->pmr.base + offset, &byte, 1);
}

static int test_all(void)
{
	char file[] = "/tmp/nsdk-nvme-pmr.XXXXXX", device[100];
	struct run run, again;
	uint8_t byte = 0;
	int fd = mkstemp(file);

	snprintf(device, sizeof(device), "emu:nvme,size=1M,pmr=64k,pmr_file=%s", file);
	if (fd < 0 || set_up(&run, device) != 0) {
		expect("a region is mapped", false);
		return 1;
	}
	expect("its size is that of its BAR", run.pmr.bytes == 65536);
	expect("it begins as its file does", holds(&run, 0, 0) && holds(&run, 65535, 0));
	store(&run, 5, 1);
	expect("a flush", nsdk_nvme_pmr_flush(run.ctrlr) == 0);
	expect("what was flushed is in the file", pread(fd, &byte, 1, 5) == 1 && byte == 1);
	store(&run, 6, 2);
	expect("what was not flushed is not", pread(fd, &byte, 1, 6) == 1 && byte == 0);
	/* The power goes: nothing more is said to the device. */
	tear_down(&run);
	if (set_up(&again, device) != 0) {
		expect("it is mapped again", false);
		return 1;
	}
	expect("what was flushed is there after a power cut", holds(&again, 5, 1));
	expect("what was not flushed is lost", holds(&again, 6, 0));
	tear_down(&again);
	close(fd);
	unlink(file);
	expect("a controller without one is refused", set_up(&run, "emu:nvme,size=1M") != 0);
	return failures != 0;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return test_all();
	if (argc != 6 || (strcmp(argv[2], "write") != 0 && strcmp(argv[2], "read") != 0)) {
		fprintf(stderr, "usage: nvme_pmr DEVICE write|read OFFSET BYTES FILE\n");
		return 2;
	}
	return do_job(argv[1], argv[2][0] == 'w', strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0),
		      argv[5]) != 0;
}
