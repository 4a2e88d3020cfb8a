/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random hosts: registers, doorbells, config space and commands at random, from one thread and from
 * several. Nothing may crash, hang, or be left behind, which the sanitizers and the time limit see;
 * and afterwards the controller must work.
 *
 * NSDK_SEED=N repeats a run, NSDK_FUZZ_ROUNDS=N makes it longer.
 */
#include "nvme_host.h"

#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <nsdk/env.h>

#define QUEUES 3u
#define DEFAULT_ROUNDS 30000u

static uint64_t seed;
static unsigned rounds;

static void choose_seed(void)
{
	const char *said = getenv("NSDK_SEED");
	const char *more = getenv("NSDK_FUZZ_ROUNDS");

	seed = said ? strtoull(said, NULL, 0) : nsdk_clock_ns() % 1000000000 + 1;
	rounds = more ? (unsigned)strtoul(more, NULL, 0) : DEFAULT_ROUNDS;
	printf("# seed %llu\n", (unsigned long long)seed);
}

/* xorshift64*: each thread has its own. */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((draw(state) >> 32) * limit >> 32);
}

/* An address: mostly one that is good, sometimes misaligned, sometimes nowhere. */
static uint64_t address(uint64_t *state)
{
	uint64_t page = host_iova(host.memory) + below(state, HOST_MEMORY_BYTES / HOST_PAGE) * HOST_PAGE;

	switch (below(state, 8)) {
	case 0:
		return draw(state);
	case 1:
		return page + below(state, HOST_PAGE);
	case 2:
		return page + below(state, HOST_PAGE / 8) * 8;
	case 3:
		return host_iova(host.memory) + HOST_MEMORY_BYTES - HOST_PAGE;
	default:
		return page;
	}
}

static void fill_command(uint64_t *state, struct nsdk_nvme_cmd *cmd)
{
	static const uint8_t admin[] = { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x18 };
	static const uint8_t nvm[] = { 0, 1, 2, 4, 5, 8, 9, 12 };

	for (size_t i = 0; i < sizeof(*cmd) / 8; i++)
		((uint64_t *)(void *)cmd)[i] = draw(state);
	if (below(state, 16))
		cmd->opcode = below(state, 2) ? admin[below(state, sizeof(admin))] :
						nvm[below(state, sizeof(nvm))];
	if (below(state, 16))
		cmd->flags = 0;
	if (below(state, 8))
		cmd->nsid = below(state, 4);
	cmd->cid = (uint16_t)below(state, 64);
	cmd->prp1 = address(state);
	cmd->prp2 = address(state);
	/* Values that get somewhere. */
	if (below(state, 8)) {
		cmd->cdw10 = below(state, 32) | below(state, 64) << 16;
		cmd->cdw11 = below(state, 4) << 16 | below(state, 4);
		cmd->cdw12 = below(state, 256);
		cmd->cdw13 = 0;
	}
	/* Blocks: SLBA is where queue sizes are. */
	if (below(state, 2)) {
		cmd->cdw10 = below(state, 2100);
		cmd->cdw11 = 0;
	}
}

static uint32_t *doorbell(unsigned index)
{
	return (uint32_t *)((uintptr_t)host.bar.base + NSDK_NVME_REG_DOORBELLS) + index;
}

static void ring_something(uint64_t *state)
{
	uint32_t value = below(state, 8) ? below(state, 70) : (uint32_t)draw(state);

	__atomic_store_n(doorbell(below(state, 2 * (QUEUES + 1))), value, __ATOMIC_RELEASE);
}

static void touch_registers(uint64_t *state)
{
	static const uint16_t registers[] = { 0x00, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28,
					      0x30, 0x38, 0x68, 0x1000, 0x1ffc, 0x3ffc, 0x3fff };
	size_t offset = registers[below(state, 16)];

	if (below(state, 8) == 0)
		offset = below(state, (uint32_t)host.bar.bytes + 16);
	host.model->ops->mmio_read(host.model, below(state, 6), offset, 1u << below(state, 4));
	if (below(state, 4) == 0)
		host.model->ops->mmio_write(host.model, below(state, 6), offset, 1u << below(state, 4),
					    below(state, 2) ? draw(state) : below(state, 1 << 16));
}

static void touch_config(uint64_t *state)
{
	uint32_t value;

	host.model->ops->cfg_read(host.model, below(state, 4100), 1u << below(state, 3), &value);
	if (below(state, 8) == 0)
		host.model->ops->cfg_write(host.model, below(state, 0x100), 1u << below(state, 3),
					   (uint32_t)draw(state));
}

/* What a driver does, so that the rest meets a controller that runs. */
static void bring_up(uint64_t *state)
{
	host.model->ops->cfg_write(host.model, PCI_COMMAND, 2,
				   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	host.model->ops->cfg_write(host.model, 0x44, 2, 0); /* D0 */
	host_write32(NSDK_NVME_REG_CC, 0);
	host_write32(NSDK_NVME_REG_AQA, 63u << 16 | 63);
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC | (below(state, 4) ? 0 :
						   below(state, 5) << NSDK_NVME_CC_MPS_SHIFT));
}

static void one_round(uint64_t *state)
{
	uint32_t what = below(state, 64);

	if (what == 0)
		bring_up(state);
	else if (what == 1)
		host.model->ops->reset(host.model);
	else if (what < 4)
		touch_config(state);
	else if (what < 12)
		touch_registers(state);
	else if (what < 30)
		ring_something(state);
	else if (what < 50)
		fill_command(state, &((struct nsdk_nvme_cmd *)(void *)host.memory)[below(state, 512)]);
	else
		host.model->ops->poll(host.model);
}

static const char *const kinds[] = {
	"size=1M,namespaces=3,queues=3,mqes=64,mdts=2",
	"size=1M,lba=4096,queues=3,mdts=0,latency_us=1",
	"size=64K,queues=3,mqes=8,nosnoop=all,fault=badstatus@100",
	"size=1M,queues=3,ready_ms=1,vwc=0,fault=fatal@50",
};

static void begin(const char *options)
{
	host_create(options);
	/* Random data is overwritten by random DMA, queues too: all of it is the first pages. */
	host_queue_init(&host.admin, 0, 64);
}

/* Whatever was done to it, a reset and a proper bring-up make it work. */
static void must_work(void)
{
	host.model->ops->reset(host.model);
	host.model->ops->cfg_write(host.model, PCI_COMMAND, 2,
				   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	memset(host.memory, 0, HOST_MEMORY_BYTES);
	host.used = 0;
	host_enable();
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, host_pages(HOST_PAGE)), 0);
}

static void random_hosts(void)
{
	uint64_t state = seed;

	for (unsigned kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		begin(kinds[kind]);
		for (unsigned i = 0; i < rounds; i++)
			one_round(&state);
		must_work();
		host_stop();
	}
}

/* Commands that get further: a controller that stays up, with queues, and random commands in them. */
static void random_commands(void)
{
	uint64_t state = seed ^ 0x5555;
	struct host_queue queues[2];
	struct nsdk_nvme_cpl cpl;
	unsigned completions = 0;

	for (unsigned kind = 0; kind < 2; kind++) {
		host_start(kinds[kind]);
		/* DMA may not hit the queues now, so data is elsewhere. */
		host_queue_create(&queues[0], 1, 64);
		queues[1] = host.admin;
		for (unsigned i = 0; i < rounds; i++) {
			struct host_queue *queue = below(&state, 8) ? &queues[0] : &queues[1];
			struct nsdk_nvme_cmd cmd;

			fill_command(&state, &cmd);
			/* Not those that take the queue away. */
			if (queue->id == 0 && (cmd.opcode < 2 || cmd.opcode == 4 || cmd.opcode == 5))
				continue;
			if (cmd.prp1 - host_iova(host.memory) < host.used)
				cmd.prp1 += host.used;
			if (cmd.prp2 - host_iova(host.memory) < host.used)
				cmd.prp2 += host.used;
			host_push(queue, &cmd);
			queue->sq[(queue->tail + 63) % 64].cid = cmd.cid;
			host_ring(queue);
			for (unsigned turns = 0; turns < 3; turns++)
				host.model->ops->poll(host.model);
			while (host_peek(queue, &cpl)) {
				completions++;
				NSDK_ASSERT_INT(cpl.sqid, queue->id);
			}
			host_ring_head(queue);
			if (host_read32(NSDK_NVME_REG_CSTS) != NSDK_NVME_CSTS_RDY) {
				CU_FAIL("a command has stopped the controller");
				break;
			}
		}
		must_work();
		host_stop();
	}
	CU_ASSERT(completions > rounds / 2);
}

static atomic_bool stop;

static void *poll_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		host.model->ops->poll(host.model);
	return NULL;
}

static void random_host_and_other_threads(void)
{
	uint64_t state = seed ^ 0xaaaa;
	pthread_t threads[2];

	for (unsigned kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		begin(kinds[kind]);
		atomic_store(&stop, false);
		for (unsigned i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, poll_on, NULL);
		for (unsigned i = 0; i < rounds / 8; i++)
			one_round(&state);
		atomic_store(&stop, true);
		for (unsigned i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		must_work();
		host_stop();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(random_hosts),
	NSDK_UNIT_TEST(random_commands),
	NSDK_UNIT_TEST(random_host_and_other_threads),
};

NSDK_UNIT_MAIN("lib/emu/nvme_fuzz", tests, .before = choose_seed, .after = host_stop)
