/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the blocks are: files, their sizes, their errors. */
#include "nvme_host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct host_queue io;
static uint8_t *data;
static char folder[64], path[96], options[256];

static void make_folder(void)
{
	nsdk_unit_log_start();
	snprintf(folder, sizeof(folder), "/tmp/nsdk-store-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk", folder);
}

static void remove_folder(void)
{
	host_stop();
	unlink(path);
	rmdir(folder);
	nsdk_unit_log_stop();
}

static const char *with_file(const char *others)
{
	snprintf(options, sizeof(options), "file=%s%s%s", path, *others ? "," : "", others);
	return options;
}

static void start(const char *others)
{
	host_start(with_file(others));
	host_queue_create(&io, 1, 16);
	data = host_pages(4 * HOST_PAGE);
}

static int run(unsigned opcode, uint32_t nsid, uint64_t lba, uint32_t blocks)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, nsid, lba, blocks, host_iova(data),
					   host_iova(data + HOST_PAGE));

	return host_run(&io, &cmd);
}

static off_t file_bytes(void)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

static void refuses(const char *others, int error, const char *sentence)
{
	struct nsdk_emu_model *model = NULL;

	NSDK_ASSERT_INT(nsdk_emu_nvme.create(with_file(others), &model), error);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	CU_ASSERT_PTR_NULL(model);
}

static void a_file_is_made_and_keeps_the_data(void)
{
	start("size=1M,namespaces=2");
	NSDK_ASSERT_INT(file_bytes(), 2 << 20);
	memset(data, 0x5a, 512);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 2, 77, 1), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_FLUSH, 2, 0, 1), 0);
	host_stop();
	/* Without size= the file says it. */
	start("namespaces=2");
	memset(data, 0, 512);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 2, 77, 1), 0);
	NSDK_ASSERT_INT(data[0], 0x5a);
	NSDK_ASSERT_INT(data[511], 0x5a);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 77, 1), 0);
	NSDK_ASSERT_INT(data[0], 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 2048, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
}

static void identity_stays_with_the_file(void)
{
	uint8_t first[4096];

	start("size=1M");
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, data), 0);
	memcpy(first, data, sizeof(first));
	host_stop();
	start("");
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, data), 0);
	NSDK_ASSERT_INT(memcmp(first, data, sizeof(first)), 0);
}

static void all_commands_work_on_a_file(void)
{
	for (unsigned sync = 0; sync < 2; sync++) {
		start(sync ? "size=1M,vwc=0" : "size=1M,vwc=1");
		for (unsigned i = 0; i < 2 * HOST_PAGE; i++)
			data[i] = (uint8_t)(i * 3 + i / 256);
		/* Over the end of an extent of 64 KiB. */
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, 120, 16), 0);
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 1, 120, 16), 0);
		data[8000] ^= 0x10;
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 1, 120, 16), HOST_MEDIA(COMPARE_FAILURE));
		data[8000] ^= 0x10;
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, 1, 127, 2), 0);
		memset(data + 7 * 512, 0, 2 * 512);
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 1, 120, 16), 0);
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_FLUSH, 1, 0, 1), 0);
		host_set_feature(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 0, 0);
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, 0, 1), 0);
		host_stop();
		unlink(path);
	}
}

static void deallocation_gives_room_back(void)
{
	struct stat before, after;

	start("size=4M,mdts=0");
	memset(data, 0xaa, 2 * HOST_PAGE);
	for (unsigned i = 0; i < 4096; i += 16)
		CU_ASSERT_EQUAL_FATAL(run(NSDK_NVME_NVM_WRITE, 1, i, 16), 0);
	stat(path, &before);
	*(struct nsdk_nvme_dsm_range *)(void *)data = (struct nsdk_nvme_dsm_range){ .blocks = 8192 };
	NSDK_ASSERT_INT(host_run(&io, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_NVM_DATASET_MANAGEMENT, .nsid = 1, .prp1 = host_iova(data),
		.cdw11 = NSDK_NVME_DSM_DEALLOCATE }), 0);
	stat(path, &after);
	NSDK_ASSERT_INT(after.st_size, before.st_size);
	if (after.st_blocks >= before.st_blocks)
		nsdk_skip("the file system of /tmp has no holes");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 50, 1), 0);
	NSDK_ASSERT_INT(data[0], 0);
}

static void wrong_files_are_refused(void)
{
	int fd;

	snprintf(path, sizeof(path), "%s/no/disk", folder);
	refuses("size=1M", -ENOENT, "cannot be opened for reading and writing");
	snprintf(path, sizeof(path), "%s", folder);
	refuses("size=1M", -EISDIR, "cannot be opened for reading and writing");
	snprintf(path, sizeof(path), "/dev/null");
	refuses("size=1M", -EINVAL, "neither a file nor a block device");
	snprintf(path, sizeof(path), "%s/disk", folder);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	refuses("", -EINVAL, "has 0 bytes, too few");
	CU_ASSERT_EQUAL(ftruncate(fd, 1 << 20), 0);
	refuses("size=1M,namespaces=2", -EINVAL, "too few for 2 namespace(s) of 1048576");
	refuses("size=2M", -EINVAL, "too few for 1 namespace(s)");
	NSDK_ASSERT_INT(file_bytes(), 1 << 20);
	/* Less than the file has is fine. */
	start("size=512K");
	close(fd);
}

static void a_file_serves_one_device(void)
{
	struct nsdk_emu_model *model;

	start("size=1M");
	NSDK_ASSERT_INT(nsdk_emu_nvme.create(with_file("size=1M"), &model), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("in use by another emulated device");
}

static void a_file_that_cannot_grow_is_not_left_behind(void)
{
	struct rlimit was, small;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 1 << 16;
	setrlimit(RLIMIT_FSIZE, &small);
	refuses("size=1M", -EFBIG, "cannot be made 1048576 bytes long");
	NSDK_ASSERT_INT(file_bytes(), -1);
	setrlimit(RLIMIT_FSIZE, &was);
}

static void errors_of_the_file_are_statuses(void)
{
	struct rlimit was, small;

	signal(SIGXFSZ, SIG_IGN);
	start("size=1M");
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 1 << 16;
	setrlimit(RLIMIT_FSIZE, &small);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, 1024, 1), HOST_MEDIA(WRITE_FAULT));
	setrlimit(RLIMIT_FSIZE, &was);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, 1024, 1), 0);
	/* Somebody makes it shorter behind our back. */
	CU_ASSERT_EQUAL(truncate(path, 4096), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 1024, 1), HOST_MEDIA(UNRECOVERED_READ));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 1, 1024, 1), HOST_MEDIA(UNRECOVERED_READ));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, 0, 1), 0);
}

static void a_full_disk_is_a_status(void)
{
	int rc = system("mkdir -p /tmp/nsdk-store-full && mount -t tmpfs -o size=256k none "
			"/tmp/nsdk-store-full 2> /dev/null");
	unsigned written = 0;
	int status = 0;

	if (rc != 0) {
		rmdir("/tmp/nsdk-store-full");
		nsdk_skip("no small file system can be mounted here");
	}
	snprintf(path, sizeof(path), "/tmp/nsdk-store-full/disk");
	start("size=1M");
	for (; written < 2048 && status == 0; written += 8)
		status = run(NSDK_NVME_NVM_WRITE, 1, written, 8);
	NSDK_ASSERT_INT(status, HOST_GENERIC(CAPACITY_EXCEEDED));
	CU_ASSERT(written > 100 && written < 2048);
	host_stop();
	unlink(path);
	NSDK_ASSERT_INT(system("umount /tmp/nsdk-store-full && rmdir /tmp/nsdk-store-full"), 0);
	snprintf(path, sizeof(path), "%s/disk", folder);
}

static void huge_memory_is_sparse(void)
{
	host_start("size=1T,lba=4096");
	host_queue_create(&io, 1, 16);
	data = host_pages(4 * HOST_PAGE);
	data[0] = 9;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 1, (UINT64_C(1) << 28) - 1, 1), 0);
	data[0] = 0;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 1, (UINT64_C(1) << 28) - 1, 1), 0);
	NSDK_ASSERT_INT(data[0], 9);
}

static void too_much_memory_is_refused(void)
{
	struct nsdk_emu_model *model;

	NSDK_ASSERT_INT(nsdk_emu_nvme.create("size=64T,namespaces=1024", &model), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("say a smaller size=");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_file_is_made_and_keeps_the_data),
	NSDK_UNIT_TEST(identity_stays_with_the_file),
	NSDK_UNIT_TEST(all_commands_work_on_a_file),
	NSDK_UNIT_TEST(deallocation_gives_room_back),
	NSDK_UNIT_TEST(wrong_files_are_refused),
	NSDK_UNIT_TEST(a_file_serves_one_device),
	NSDK_UNIT_TEST(a_file_that_cannot_grow_is_not_left_behind),
	NSDK_UNIT_TEST(errors_of_the_file_are_statuses),
	NSDK_UNIT_TEST(a_full_disk_is_a_status),
	NSDK_UNIT_TEST(huge_memory_is_sparse),
	NSDK_UNIT_TEST(too_much_memory_is_refused),
};

NSDK_UNIT_MAIN("lib/emu/nvme_store", tests, .before = make_folder, .after = remove_folder)
