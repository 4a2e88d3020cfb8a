/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

#include <linux/pci_regs.h>
#include <sched.h>
#include <sys/mman.h>

#include <nsdk/env.h>
#include <nsdk/iommu.h>

#define WAIT_NS UINT64_C(20000000000) /* on a machine that does other things as well */

struct host host;
struct nsdk_nvme_cpl host_last;

void host_create(const char *options)
{
	nsdk_iova_t iova;

	memset(&host, 0, sizeof(host));
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_SOFT, &host.iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(host.iommu, &host.ioas), 0);
	host.memory = mmap(NULL, HOST_MEMORY_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(host.memory, MAP_FAILED);
	iova.addr = (uintptr_t)host.memory;
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(host.ioas, host.memory, HOST_MEMORY_BYTES, NSDK_IOAS_RW,
					    true, &iova), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_emu_nvme.create(options, &host.model), 0);
	host.model->dma.ioas = host.ioas;
	CU_ASSERT_EQUAL_FATAL(host.model->ops->bar(host.model, 0, &host.bar), 0);
	CU_ASSERT_EQUAL_FATAL(host.model->ops->cfg_write(host.model, PCI_COMMAND, 2,
							 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
}

void host_start(const char *options)
{
	host_create(options);
	host_enable();
}

void host_stop(void)
{
	if (host.model)
		host.model->ops->destroy(host.model);
	if (host.ioas)
		nsdk_ioas_destroy(host.ioas);
	if (host.iommu)
		nsdk_iommu_close(host.iommu);
	if (host.memory)
		munmap(host.memory, HOST_MEMORY_BYTES);
	memset(&host, 0, sizeof(host));
}

void *host_pages(size_t bytes)
{
	void *pages = host.memory + host.used;

	host.used += (bytes + HOST_PAGE - 1) / HOST_PAGE * HOST_PAGE;
	CU_ASSERT_FATAL(host.used <= HOST_MEMORY_BYTES);
	return pages;
}

uint64_t host_iova(const void *va)
{
	return (uintptr_t)va;
}

uint32_t host_read32(size_t offset)
{
	return (uint32_t)host.model->ops->mmio_read(host.model, 0, offset, 4);
}

uint64_t host_read64(size_t offset)
{
	return host.model->ops->mmio_read(host.model, 0, offset, 8);
}

void host_write32(size_t offset, uint32_t value)
{
	host.model->ops->mmio_write(host.model, 0, offset, 4, value);
}

void host_write64(size_t offset, uint64_t value)
{
	host.model->ops->mmio_write(host.model, 0, offset, 8, value);
}

void host_queue_init(struct host_queue *queue, unsigned id, uint32_t entries)
{
	queue->id = id;
	queue->sq_entries = entries;
	queue->cq_entries = entries;
	queue->sq = host_pages(entries * sizeof(*queue->sq));
	queue->cq = host_pages(entries * sizeof(*queue->cq));
	queue->tail = 0;
	queue->head = 0;
	queue->phase = 1;
	queue->next_cid = 0;
}

void host_enable(void)
{
	uint64_t end = nsdk_clock_ns() + WAIT_NS;

	host_queue_init(&host.admin, 0, HOST_ENTRIES);
	host_write32(NSDK_NVME_REG_AQA, (HOST_ENTRIES - 1) << 16 | (HOST_ENTRIES - 1));
	host_write64(NSDK_NVME_REG_ASQ, host_iova(host.admin.sq));
	host_write64(NSDK_NVME_REG_ACQ, (uintptr_t)host.admin.cq);
	host_write32(NSDK_NVME_REG_CC, HOST_CC);
	while (!(host_read32(NSDK_NVME_REG_CSTS) & NSDK_NVME_CSTS_RDY))
		CU_ASSERT_FATAL(nsdk_clock_ns() < end);
}

void host_queue_create(struct host_queue *queue, unsigned id, uint32_t entries)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_CREATE_CQ,
		.cdw10 = id | (entries - 1) << 16,
		.cdw11 = 1,
	};

	host_queue_init(queue, id, entries);
	cmd.prp1 = (uintptr_t)queue->cq;
	CU_ASSERT_EQUAL_FATAL(host_run(&host.admin, &cmd), 0);
	cmd.opcode = NSDK_NVME_ADMIN_CREATE_SQ;
	cmd.cdw11 = id << 16 | 1;
	cmd.prp1 = (uintptr_t)queue->sq;
	CU_ASSERT_EQUAL_FATAL(host_run(&host.admin, &cmd), 0);
}

static uint32_t *doorbell(const struct host_queue *queue, unsigned head)
{
	return (uint32_t *)((uintptr_t)host.bar.base + NSDK_NVME_REG_DOORBELLS) + 2 * queue->id + head;
}

uint16_t host_push(struct host_queue *queue, const struct nsdk_nvme_cmd *cmd)
{
	uint16_t cid = queue->next_cid++;

	queue->sq[queue->tail] = *cmd;
	queue->sq[queue->tail].cid = cid;
	queue->tail = (queue->tail + 1) % queue->sq_entries;
	return cid;
}

void host_ring(struct host_queue *queue)
{
	/* Release: the entries before the doorbell, for the thread that runs the model. */
	__atomic_store_n(doorbell(queue, 0), queue->tail, __ATOMIC_RELEASE);
}

bool host_peek(struct host_queue *queue, struct nsdk_nvme_cpl *out)
{
	volatile struct nsdk_nvme_cpl *cpl = &queue->cq[queue->head];

	/* Acquire: the rest of the entry, and the data, after its phase. */
	if ((__atomic_load_n(&cpl->status, __ATOMIC_ACQUIRE) & 1) != queue->phase)
		return false;
	memcpy(out, (const void *)cpl, sizeof(*out));
	if (++queue->head == queue->cq_entries) {
		queue->head = 0;
		queue->phase ^= 1;
	}
	return true;
}

void host_ring_head(struct host_queue *queue)
{
	/* Release: the entries were read before they may be written again. */
	__atomic_store_n(doorbell(queue, 1), queue->head, __ATOMIC_RELEASE);
}

void host_poll(unsigned turns)
{
	while (turns-- > 0)
		host.model->ops->poll(host.model);
}

bool host_wait(struct host_queue *queue, struct nsdk_nvme_cpl *out)
{
	uint64_t end = nsdk_clock_ns() + WAIT_NS;
	unsigned turns = 0;

	while (!host_peek(queue, out)) {
		host_poll(1);
		/* The model's thread may need this CPU. */
		if (++turns % 64 == 0)
			sched_yield();
		/* A model that has stopped does not start again by itself. */
		if (turns % 1024 == 0 &&
		    (nsdk_clock_ns() > end || host.model->ops->gone(host.model) ||
		     (host_read32(NSDK_NVME_REG_CSTS) & NSDK_NVME_CSTS_CFS)))
			return false;
	}
	host_ring_head(queue);
	return true;
}

int host_run(struct host_queue *queue, const struct nsdk_nvme_cmd *cmd)
{
	uint16_t cid = host_push(queue, cmd);

	host_ring(queue);
	if (!host_wait(queue, &host_last))
		return -1;
	NSDK_ASSERT_INT(host_last.cid, cid);
	NSDK_ASSERT_INT(host_last.sqid, queue->id);
	return host_last.status & 0x0ffe;
}

int host_identify(unsigned cns, uint32_t nsid, void *page)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp1 = host_iova(page),
		.cdw10 = cns,
	};

	return host_run(&host.admin, &cmd);
}

int host_get_feature(unsigned fid, uint32_t nsid, uint32_t cdw11)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_GET_FEATURES,
		.nsid = nsid,
		.cdw10 = fid,
		.cdw11 = cdw11,
	};

	return host_run(&host.admin, &cmd);
}

int host_set_feature(unsigned fid, uint32_t nsid, uint32_t cdw11)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.nsid = nsid,
		.cdw10 = fid,
		.cdw11 = cdw11,
	};

	return host_run(&host.admin, &cmd);
}

int host_get_log(unsigned page, void *to, size_t bytes, uint64_t offset, bool retain)
{
	uint32_t dwords = (uint32_t)(bytes / 4 - 1);
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE,
		.nsid = NSDK_NVME_NSID_ALL,
		.prp1 = host_iova(to),
		.prp2 = host_iova(to) / HOST_PAGE * HOST_PAGE + HOST_PAGE,
		.cdw10 = page | (retain ? 0x8000u : 0) | dwords << 16,
		.cdw11 = dwords >> 16,
		.cdw12 = (uint32_t)offset,
		.cdw13 = (uint32_t)(offset >> 32),
	};

	return host_run(&host.admin, &cmd);
}

struct nsdk_nvme_cmd host_rw(unsigned opcode, uint32_t nsid, uint64_t lba, uint32_t count,
			     uint64_t prp1, uint64_t prp2)
{
	return (struct nsdk_nvme_cmd){
		.opcode = (uint8_t)opcode,
		.nsid = nsid,
		.prp1 = prp1,
		.prp2 = prp2,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = count - 1,
	};
}
