/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which DMA of the model asks to go past the caches, and when it says that the host has consumed it.
 * The three calls of the model to dma.c are looked at on their way.
 */
#include "nvme_host.h"

#include <linux/pci_regs.h>
#include <stdio.h>

#define DEVCTL 0x58 /* PCI Express capability at 0x50 */

int __real_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner);
int __real_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner);
int __wrap_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner);
int __wrap_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner);
void __wrap_nsdk_emu_dma_consumed(struct nsdk_emu_dma *dma, uint64_t iova, size_t bytes,
				  const char *owner);

enum what { READ, WRITE, CONSUMED };

static struct seen {
	enum what what;
	uint64_t iova;
	size_t bytes;
	bool nosnoop;
	char owner[48];
} seen[4096];
static unsigned seen_count;

static void note(enum what what, uint64_t iova, size_t bytes, bool nosnoop, const char *owner)
{
	struct seen *entry = &seen[seen_count++ % 4096];

	*entry = (struct seen){ .what = what, .iova = iova, .bytes = bytes, .nosnoop = nosnoop };
	snprintf(entry->owner, sizeof(entry->owner), "%s", owner);
}

int __wrap_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner)
{
	/* The model behind is not there: what it would do is cache_test.c's. */
	struct nsdk_emu_dma plain = { .ioas = dma->ioas, .bus_master = dma->bus_master };

	note(READ, iova, bytes, nosnoop, owner);
	return __real_nsdk_emu_dma_read(&plain, iova, to, bytes, false, owner);
}

int __wrap_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner)
{
	struct nsdk_emu_dma plain = { .ioas = dma->ioas, .bus_master = dma->bus_master };

	note(WRITE, iova, bytes, nosnoop, owner);
	return __real_nsdk_emu_dma_write(&plain, iova, from, bytes, false, owner);
}

void __wrap_nsdk_emu_dma_consumed(struct nsdk_emu_dma *dma, uint64_t iova, size_t bytes,
				  const char *owner)
{
	note(CONSUMED, iova, bytes, true, owner);
}

static struct host_queue io;
static uint8_t *data;
static uint64_t *list;

static void start(const char *options)
{
	host_create(options);
	/* Something that is not NULL: the model looks no further. */
	host.model->dma.cache = (struct nsdk_cache_model *)host.memory;
	host_enable();
	host_queue_create(&io, 1, 16);
	data = host_pages(8 * HOST_PAGE);
	list = host_pages(HOST_PAGE);
	for (unsigned i = 0; i < 8; i++)
		list[i] = host_iova(data + (i + 1) * HOST_PAGE);
	host_poll(1); /* the head of the admin queue */
	seen_count = 0;
}

static const struct seen *find(enum what what, uint64_t iova)
{
	for (unsigned i = 0; i < seen_count; i++)
		if (seen[i].what == what && seen[i].iova == iova)
			return &seen[i];
	return NULL;
}

static unsigned count(enum what what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < seen_count; i++)
		n += seen[i].what == what;
	return n;
}

/* A transfer of three pages; then another command, so that the model sees the head move. */
static void transfer(unsigned opcode)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, 24, host_iova(data), host_iova(list));

	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static void expect(enum what what, const void *at, bool nosnoop)
{
	const struct seen *entry = find(what, (uintptr_t)at);

	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	NSDK_ASSERT_INT(entry->nosnoop, nosnoop);
}

static void nothing_by_default(void)
{
	start("size=1M");
	transfer(NSDK_NVME_NVM_READ);
	transfer(NSDK_NVME_NVM_WRITE);
	host_poll(3);
	for (unsigned i = 0; i < seen_count; i++)
		CU_ASSERT_FALSE(seen[i].nosnoop);
	NSDK_ASSERT_INT(count(CONSUMED), 0);
}

static void data_only(void)
{
	start("size=1M,nosnoop=data");
	transfer(NSDK_NVME_NVM_READ);
	expect(READ, &io.sq[0], false);
	expect(READ, list, false);
	expect(WRITE, data, true);
	expect(WRITE, data + HOST_PAGE, true);
	expect(WRITE, (const void *)&io.cq[0], false);
	transfer(NSDK_NVME_NVM_WRITE);
	expect(READ, data, true);
	/* Admin data is data. */
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, data + 7 * HOST_PAGE), 0);
	expect(WRITE, data + 7 * HOST_PAGE, true);
}

static void queues_and_lists_too(void)
{
	start("size=1M,nosnoop=all");
	transfer(NSDK_NVME_NVM_READ);
	expect(READ, &io.sq[0], true);
	expect(READ, list, true);
	expect(WRITE, data, true);
	expect(WRITE, (const void *)&io.cq[0], true);
}

static void owners_are_named(void)
{
	start("size=1M,nosnoop=all");
	transfer(NSDK_NVME_NVM_READ);
	NSDK_ASSERT_TEXT(find(READ, host_iova(&io.sq[0]))->owner, "emu:nvme sqid 1");
	NSDK_ASSERT_TEXT(find(WRITE, host_iova(data))->owner, "emu:nvme sqid 1 cid 0");
	NSDK_ASSERT_TEXT(find(WRITE, (uintptr_t)&io.cq[0])->owner, "emu:nvme cqid 1");
}

static void consumed_when_the_head_has_passed(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,nosnoop=all");
	cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 24, host_iova(data), host_iova(list));
	host_push(&io, &cmd);
	host_ring(&io);
	host_poll(5);
	CU_ASSERT(host_peek(&io, &host_last));
	/* Posted, but the host has not said that it is done. */
	host_poll(5);
	NSDK_ASSERT_INT(count(CONSUMED), 0);
	host_ring_head(&io);
	host_poll(1);
	/* Pages that are neighbours are one range. */
	NSDK_ASSERT_INT(count(CONSUMED), 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(find(CONSUMED, host_iova(data)));
	NSDK_ASSERT_INT(find(CONSUMED, host_iova(data))->bytes, 3 * HOST_PAGE);
	NSDK_ASSERT_TEXT(find(CONSUMED, host_iova(data))->owner, "emu:nvme sqid 1 cid 0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(find(CONSUMED, (uintptr_t)&io.cq[0]));
	NSDK_ASSERT_INT(find(CONSUMED, (uintptr_t)&io.cq[0])->bytes, 16);
	/* Once. */
	host_poll(5);
	NSDK_ASSERT_INT(count(CONSUMED), 2);
}

static void with_data_only_the_entry_was_snooped(void)
{
	start("size=1M,nosnoop=data");
	list[0] = host_iova(data + 4 * HOST_PAGE);
	transfer(NSDK_NVME_NVM_READ);
	host_poll(1);
	/* Two ranges, since the second page is elsewhere; no entry. */
	NSDK_ASSERT_INT(count(CONSUMED), 3);
	CU_ASSERT_PTR_NULL(find(CONSUMED, (uintptr_t)&io.cq[0]));
	NSDK_ASSERT_INT(find(CONSUMED, host_iova(data + 4 * HOST_PAGE))->bytes, HOST_PAGE);
}

static void what_the_device_read_is_not_consumed(void)
{
	start("size=1M,nosnoop=data");
	transfer(NSDK_NVME_NVM_WRITE);
	transfer(NSDK_NVME_NVM_COMPARE);
	host_poll(1);
	NSDK_ASSERT_INT(count(CONSUMED), 0);
}

static void a_failed_command_reported_nothing(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,nosnoop=data");
	cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 16, host_iova(data), 0x1000);
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(DATA_TRANSFER_ERROR));
	host_poll(1);
	CU_ASSERT_PTR_NOT_NULL(find(WRITE, host_iova(data)));
	NSDK_ASSERT_INT(count(CONSUMED), 0);
}

static void without_enable_no_snoop_there_is_nothing_to_say(void)
{
	start("size=1M,nosnoop=all");
	NSDK_ASSERT_INT(host.model->ops->cfg_write(host.model, DEVCTL, 2, 0), 0);
	CU_ASSERT_FALSE(host.model->dma.nosnoop_enabled);
	transfer(NSDK_NVME_NVM_READ);
	host_poll(1);
	/* It still asks, and dma.c knows better. */
	NSDK_ASSERT_INT(count(CONSUMED), 0);
}

static void many_scattered_pages(void)
{
	struct nsdk_nvme_cmd cmd;
	uint8_t *all;

	start("size=8M,nosnoop=data");
	all = host_pages(256 * HOST_PAGE);
	/* Every other page, so that none touch. */
	for (unsigned i = 0; i < 100; i++)
		list[i] = host_iova(all + 2 * i * HOST_PAGE);
	cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 101 * 8, host_iova(data), host_iova(list));
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	host_poll(1);
	NSDK_ASSERT_INT(count(CONSUMED), 101);
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_PTR_NOT_NULL(find(CONSUMED, list[i]));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nothing_by_default),
	NSDK_UNIT_TEST(data_only),
	NSDK_UNIT_TEST(queues_and_lists_too),
	NSDK_UNIT_TEST(owners_are_named),
	NSDK_UNIT_TEST(consumed_when_the_head_has_passed),
	NSDK_UNIT_TEST(with_data_only_the_entry_was_snooped),
	NSDK_UNIT_TEST(what_the_device_read_is_not_consumed),
	NSDK_UNIT_TEST(a_failed_command_reported_nothing),
	NSDK_UNIT_TEST(without_enable_no_snoop_there_is_nothing_to_say),
	NSDK_UNIT_TEST(many_scattered_pages),
};

NSDK_UNIT_MAIN("lib/emu/nvme_nosnoop", tests, .after = host_stop)
