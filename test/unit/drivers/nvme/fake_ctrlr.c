/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller behind the fake bus: registers, queues, commands. */
#include "fake_nvme.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

struct fake fake;
_Alignas(4096) uint8_t fake_bar[FAKE_BAR_BYTES];
_Alignas(4096) uint8_t fake_bar2[FAKE_CMB_OFFSET + FAKE_CMB_BYTES];

/* A function level reset has a thread of its own, beside whoever polls: one of them at a time. */
static pthread_mutex_t machine = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void fake_lock(void)
{
	pthread_mutex_lock(&machine);
}

void fake_unlock(void)
{
	pthread_mutex_unlock(&machine);
}

/* ---- Registers ---- */

static bool vanished(void)
{
	if (++fake.reg_reads == fake.gone_at && !fake.gone) {
		fake.gone = true;
		/* As the bus does. */
		nsdk_fail(-19, "bus", "fake is gone");
	}
	return fake.gone;
}

void fake_looked(void)
{
	fake.now_ns += fake.stall_ns;
	fake.stall_ns = 0;
}

static uint32_t read_csts(void)
{
	fake_looked();
	if (++fake.csts_reads == fake.cfs_at)
		fake.cfs = true;
	return fake.csts | (fake.cfs ? NSDK_NVME_CSTS_CFS : 0);
}

static uint32_t read_register(size_t offset)
{
	bool shows = fake.cmb_fixed || (fake.cmbmsc & NSDK_NVME_CMBMSC_CRE);

	if (vanished())
		return UINT32_MAX;
	switch (offset) {
	case NSDK_NVME_REG_CMBLOC:
		CU_ASSERT(fake.cmb != 0);
		return shows ? fake.cmbloc : 0;
	case NSDK_NVME_REG_CMBSZ:
		CU_ASSERT(fake.cmb != 0);
		return shows ? fake.cmbsz : 0;
	case NSDK_NVME_REG_PMRCAP:
		CU_ASSERT((fake.cap & NSDK_NVME_CAP_PMRS) != 0);
		return fake.pmrcap;
	case NSDK_NVME_REG_PMRCTL:
		return fake.pmr_enabled;
	case NSDK_NVME_REG_PMRSTS:
		if ((!fake.pmr_enabled && !fake.pmr_disabled_is_ready) ||
		    (fake.pmr_slowness && --fake.pmr_slowness))
			return NSDK_NVME_PMRSTS_NRDY;
		fake.pmr_looks++;
		return fake.pmr_status;
	case NSDK_NVME_REG_CMBMSC:
		return (uint32_t)fake.cmbmsc;
	case NSDK_NVME_REG_CMBSTS:
		return fake.cmb_invalid ? NSDK_NVME_CMBSTS_CBAI : 0;
	case NSDK_NVME_REG_VS:
		return fake.vs;
	case NSDK_NVME_REG_CC:
		return fake.cc;
	case NSDK_NVME_REG_CSTS:
		return read_csts();
	default:
		CU_FAIL("a read of a register that is not to be read");
		return 0;
	}
}

uint32_t __wrap_nsdk_device_read32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset);
uint32_t __wrap_nsdk_device_read32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset)
{
	uint32_t value;

	fake_lock();
	value = read_register(offset);
	fake_unlock();
	return value;
}

uint64_t __wrap_nsdk_device_read64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset);
uint64_t __wrap_nsdk_device_read64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset)
{
	if (vanished())
		return UINT64_MAX;
	CU_ASSERT_EQUAL(offset, NSDK_NVME_REG_CAP);
	return fake.cap;
}

static void enable(void)
{
	struct fake_queue *admin = &fake.queues[0];

	memset(fake.queues, 0, sizeof(fake.queues));
	memset(fake_bar + NSDK_NVME_REG_DOORBELLS, 0, FAKE_BAR_BYTES - NSDK_NVME_REG_DOORBELLS);
	/* 64 and 16 byte entries, 4 KiB pages; all else would not work. */
	CU_ASSERT_EQUAL(fake.cc >> NSDK_NVME_CC_IOSQES_SHIFT & 0xf, 6);
	CU_ASSERT_EQUAL(fake.cc >> NSDK_NVME_CC_IOCQES_SHIFT & 0xf, 4);
	CU_ASSERT_EQUAL(fake.cc >> NSDK_NVME_CC_MPS_SHIFT & 0xf, 0);
	/* Round robin, or weighted round robin where that is offered. */
	CU_ASSERT((fake.cc & 7u << NSDK_NVME_CC_AMS_SHIFT) == 0 ||
		  ((fake.cc & 7u << NSDK_NVME_CC_AMS_SHIFT) == NSDK_NVME_CC_AMS_WRR &&
		   (fake.cap & NSDK_NVME_CAP_AMS_WRR)));
	CU_ASSERT(fake.bus_master);
	CU_ASSERT_EQUAL(fake.asq % 4096, 0);
	CU_ASSERT_EQUAL(fake.acq % 4096, 0);
	*admin = (struct fake_queue){
		.sq_exists = true,
		.cq_exists = true,
		.sq_iova = fake.asq,
		.cq_iova = fake.acq,
		.sq_entries = (fake.aqa & 0xfff) + 1,
		.cq_entries = (fake.aqa >> 16 & 0xfff) + 1,
		.phase = 1,
		/* Vector 0; like some, it looks only now whether there is MSI-X. */
		.interrupts = fake.vectors_on > 0,
	};
	fake.aers = 0;
	fake.enables++;
	if (fake.not_ready)
		fake.not_ready--;
	else if (!fake.never_ready)
		fake.csts |= NSDK_NVME_CSTS_RDY;
}

void fake_function_reset(void)
{
	fake_lock();
	fake.cc = fake.csts = 0;
	fake.cfs = false;
	fake.never_disabled = false;
	fake.shadow = fake.events = NULL;
	fake.cmbmsc = 0;
	fake.pmr_enabled = false;
	memset(fake.queues, 0, sizeof(fake.queues));
	fake_unlock();
}

static void write_cc(uint32_t value)
{
	uint32_t before = fake.cc;

	fake.cc = value;
	if ((value & NSDK_NVME_CC_EN) && !(before & NSDK_NVME_CC_EN))
		enable();
	if (!(value & NSDK_NVME_CC_EN) && !fake.never_disabled) {
		fake.shadow = fake.events = NULL;
		/* What is in there may be gone. */
		memset(fake_bar2, 0xa5, sizeof(fake_bar2));
		fake.csts = 0;
		fake.cfs = false;
		memset(fake.queues, 0, sizeof(fake.queues));
	}
	if ((value & NSDK_NVME_CC_SHN_MASK) && (value & NSDK_NVME_CC_EN) && !fake.never_shut_down) {
		fake.csts &= ~NSDK_NVME_CSTS_SHST_MASK;
		fake.csts |= NSDK_NVME_CSTS_SHST_COMPLETE;
	}
}

void __wrap_nsdk_device_write32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
				uint32_t value);
void __wrap_nsdk_device_write32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
				uint32_t value)
{
	if (fake.gone)
		return;
	fake_lock();
	switch (offset) {
	case NSDK_NVME_REG_CC:
		write_cc(value);
		break;
	case NSDK_NVME_REG_AQA:
		CU_ASSERT(!(fake.cc & NSDK_NVME_CC_EN));
		fake.aqa = value;
		break;
	case NSDK_NVME_REG_INTMS:
		/* Undefined with MSI-X. */
		CU_ASSERT_EQUAL(fake.vectors_on, 0);
		break;
	case NSDK_NVME_REG_PMRCTL:
		fake.pmr_enabled = value & NSDK_NVME_PMRCTL_EN;
		fake.pmr_enables += fake.pmr_enabled;
		break;
	case NSDK_NVME_REG_CMBMSC + 4:
		fake.cmbmsc = (fake.cmbmsc & UINT32_MAX) | (uint64_t)value << 32;
		break;
	case NSDK_NVME_REG_CMBMSC:
		/* Not under a controller that is using it. */
		CU_ASSERT(!(fake.cc & NSDK_NVME_CC_EN));
		CU_ASSERT((fake.cap & NSDK_NVME_CAP_CMBS) != 0);
		fake.cmbmsc = (fake.cmbmsc & ~(uint64_t)UINT32_MAX) | value;
		fake.cmbmsc_writes++;
		break;
	default:
		CU_FAIL("a write to a register that is not to be written");
	}
	fake_unlock();
}

void __wrap_nsdk_device_write64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
				uint64_t value);
void __wrap_nsdk_device_write64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
				uint64_t value)
{
	fake_lock();
	CU_ASSERT(!(fake.cc & NSDK_NVME_CC_EN));
	if (offset == NSDK_NVME_REG_ASQ)
		fake.asq = value;
	else if (offset == NSDK_NVME_REG_ACQ)
		fake.acq = value;
	else
		CU_FAIL("a write to a register that is not to be written");
	fake_unlock();
}

/* ---- DMA ---- */

/* Copies page by page, as pieces of the device's addresses need not follow each other. */
static void copy_dma(uint64_t iova, uint8_t *host, size_t bytes, bool to_memory)
{
	while (bytes) {
		size_t step = 4096 - iova % 4096;
		uint8_t *va = fake_va(iova);

		if (step > bytes)
			step = bytes;
		if (!va || !fake.bus_master || !fake.attached) {
			fake.bad_dma++;
			return;
		}
		if (to_memory)
			memcpy(va, host, step);
		else
			memcpy(host, va, step);
		iova += step;
		host += step;
		bytes -= step;
	}
}

/* A payload by its PRPs, the plain way: one page after the other. */
static uint16_t copy_prps(const struct nsdk_nvme_cmd *cmd, uint8_t *host, size_t bytes, bool to_memory)
{
	size_t first = 4096 - cmd->prp1 % 4096;
	uint64_t list = cmd->prp2;

	if (cmd->prp1 % 4)
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_PRP_OFFSET);
	if (first > bytes)
		first = bytes;
	copy_dma(cmd->prp1, host, first, to_memory);
	host += first;
	bytes -= first;
	if (bytes && bytes <= 4096) {
		if (list % 4096)
			return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_PRP_OFFSET);
		copy_dma(list, host, bytes, to_memory);
		return 0;
	}
	while (bytes) {
		size_t step = bytes < 4096 ? bytes : 4096;
		uint64_t entry = 0;

		/* A list may end with its page only where it ends altogether: no chaining here. */
		copy_dma(list, (uint8_t *)&entry, 8, false);
		if (entry % 4096)
			return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_PRP_OFFSET);
		copy_dma(entry, host, step, to_memory);
		host += step;
		bytes -= step;
		list += 8;
		if (bytes && list % 4096 == 0) {
			fake.bad_dma++;
			return 0;
		}
	}
	return 0;
}

/* ---- Commands ---- */

void fake_post(uint16_t qid, struct nsdk_nvme_cpl cpl)
{
	struct fake_queue *queue = &fake.queues[qid];
	uint64_t at = queue->cq_iova + 16ull * queue->cq_tail;

	cpl.status = (uint16_t)((cpl.status & ~1u) | queue->phase);
	copy_dma(at, (uint8_t *)&cpl, sizeof(cpl), true);
	if (++queue->cq_tail == queue->cq_entries) {
		queue->cq_tail = 0;
		queue->phase ^= 1;
	}
	if (!queue->interrupts || fake.vector_fds[queue->vector] < 0)
		return;
	if (fake.lose_irqs)
		fake.lose_irqs--;
	else
		CU_ASSERT_EQUAL(eventfd_write(fake.vector_fds[queue->vector], 1), 0);
}

void fake_complete(uint16_t qid, uint16_t cid, uint16_t status)
{
	fake_post(qid, (struct nsdk_nvme_cpl){
			       .sqhd = fake.queues[qid].sq_head,
			       .sqid = qid,
			       .cid = cid,
			       .status = status,
		       });
}

void fake_event(uint32_t dw0)
{
	CU_ASSERT_FATAL(fake.aers > 0);
	fake_post(0, (struct nsdk_nvme_cpl){
			     .dw0 = dw0,
			     .sqhd = fake.queues[0].sq_head,
			     .cid = fake.aer_cids[--fake.aers],
		     });
}

static uint16_t identify(const struct nsdk_nvme_cmd *cmd)
{
	struct nsdk_nvme_id_ns ns = {
		.nsze = fake.blocks,
		.ncap = fake.blocks,
		.lbaf = { { .lbads = fake.lba_shift } },
	};
	uint32_t list[1024] = { 0 };

	switch (cmd->cdw10 & 0xff) {
	case NSDK_NVME_CNS_CTRLR:
		fake.id.mdts = fake.mdts;
		return copy_prps(cmd, (uint8_t *)&fake.id, sizeof(fake.id), true);
	case NSDK_NVME_CNS_ACTIVE_NS_LIST:
		for (unsigned i = 0, n = 0; i < fake.namespaces; i++)
			if (i + 1 > cmd->nsid)
				list[n++] = i + 1;
		return copy_prps(cmd, (uint8_t *)list, sizeof(list), true);
	case NSDK_NVME_CNS_NS:
		if (cmd->nsid == 0 || cmd->nsid > fake.namespaces)
			return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_NAMESPACE);
		return copy_prps(cmd, (uint8_t *)&ns, sizeof(ns), true);
	default:
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	}
}

static uint16_t admin_command(const struct nsdk_nvme_cmd *cmd, uint32_t *dw0)
{
	uint16_t qid = (uint16_t)cmd->cdw10;
	uint32_t entries = (cmd->cdw10 >> 16) + 1;
	struct fake_queue *queue = qid < FAKE_QUEUES ? &fake.queues[qid] : NULL;

	switch (cmd->opcode) {
	case NSDK_NVME_ADMIN_IDENTIFY:
		return identify(cmd);
	case NSDK_NVME_ADMIN_SET_FEATURES:
		if ((cmd->cdw10 & 0xff) == NSDK_NVME_FEAT_HOST_MEMORY_BUFFER) {
			fake.hmb_given++;
			fake.hmb = *cmd;
			return fake.hmb_refusals && fake.hmb_refusals-- ?
				       NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD) : 0;
		}
		if ((cmd->cdw10 & 0xff) == NSDK_NVME_FEAT_ARBITRATION) {
			fake.arbitrations++;
			fake.arbitration = cmd->cdw11;
			return 0;
		}
		CU_ASSERT_EQUAL(cmd->cdw10, NSDK_NVME_FEAT_NUMBER_OF_QUEUES);
		*dw0 = fake.queues_granted << 16 | fake.queues_granted;
		return 0;
	case NSDK_NVME_ADMIN_CREATE_CQ:
		/* What was left there for a queue of that number before would be taken for commands. */
		if (fake.shadow && queue)
			CU_ASSERT(fake.shadow[2 * qid] == 0 && fake.shadow[2 * qid + 1] == 0 &&
				  fake.events[2 * qid] == 0 && fake.events[2 * qid + 1] == 0);
		/* Contiguous; and an interrupt (bit 1) only where MSI-X is on, with a vector of its. */
		if (!queue || queue->cq_exists || (cmd->cdw11 & 0xfffd) != 1 ||
		    (cmd->cdw11 != 1 && (!(cmd->cdw11 & 2) || cmd->cdw11 >> 16 >= fake.vectors_on)))
			return NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_QID);
		queue->interrupts = cmd->cdw11 & 2;
		queue->vector = cmd->cdw11 >> 16;
		queue->cq_exists = true;
		queue->cq_iova = cmd->prp1;
		queue->cq_entries = entries;
		queue->cq_tail = 0;
		queue->phase = 1;
		return 0;
	case NSDK_NVME_ADMIN_CREATE_SQ:
		/* Bits 2:1: a priority, where there are any. */
		if (!queue || queue->sq_exists || !queue->cq_exists ||
		    (cmd->cdw11 & ~(fake.cc & NSDK_NVME_CC_AMS_WRR ? 6u : 0u)) != (1u | (uint32_t)qid << 16))
			return NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_QID);
		queue->priority = cmd->cdw11 >> 1 & 3;
		queue->sq_exists = true;
		queue->sq_iova = cmd->prp1;
		queue->sq_entries = entries;
		queue->sq_head = 0;
		return 0;
	case NSDK_NVME_ADMIN_DELETE_SQ:
		if (!queue || !queue->sq_exists)
			return NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_QID);
		queue->sq_exists = false;
		return 0;
	case NSDK_NVME_ADMIN_DELETE_CQ:
		if (!queue || !queue->cq_exists || queue->sq_exists)
			return NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_QUEUE_DELETION);
		queue->cq_exists = false;
		/* Doorbells start at 0 when the queue is made again. */
		memset(fake_bar + NSDK_NVME_REG_DOORBELLS + 8 * qid, 0, 8);
		return 0;
	case NSDK_NVME_ADMIN_DBBUF_CONFIG:
		fake.dbbuf_configs++;
		if (fake.dbbuf_refusals && fake.dbbuf_refusals--)
			return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
		CU_ASSERT_EQUAL(cmd->prp1 % 4096 + cmd->prp2 % 4096, 0);
		fake.shadow = (uint32_t *)(void *)fake_va(cmd->prp1);
		fake.events = (uint32_t *)(void *)fake_va(cmd->prp2);
		CU_ASSERT_FATAL(fake.shadow != NULL && fake.events != NULL);
		for (unsigned i = 0; i < 1024; i++)
			CU_ASSERT(fake.shadow[i] == 0 && fake.events[i] == 0);
		return 0;
	default:
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_OPCODE);
	}
}

static uint16_t io_command(const struct nsdk_nvme_cmd *cmd)
{
	uint64_t lba = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32;
	uint64_t blocks = (cmd->cdw12 & 0xffff) + 1;
	size_t bytes = (size_t)blocks << fake.lba_shift;
	struct nsdk_nvme_dsm_range ranges[256];
	static uint8_t copy[2 << 20];
	uint16_t status;
	uint8_t *disk;

	if (cmd->nsid == 0 || cmd->nsid > fake.namespaces)
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_NAMESPACE);
	/* Fields that no command here uses. */
	CU_ASSERT(cmd->flags == 0 && cmd->cdw2 == 0 && cmd->cdw3 == 0 && cmd->mptr == 0 &&
		  cmd->cdw13 == 0 && cmd->cdw14 == 0 && cmd->cdw15 == 0);
	disk = fake.disk[cmd->nsid - 1];
	if (cmd->opcode == NSDK_NVME_NVM_FLUSH)
		return 0;
	if (cmd->opcode == NSDK_NVME_NVM_DATASET_MANAGEMENT)
		return copy_prps(cmd, (uint8_t *)ranges, ((cmd->cdw10 & 0xff) + 1) * 16, false);
	if (lba + blocks > fake.blocks)
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_LBA_OUT_OF_RANGE);
	disk += lba << fake.lba_shift;
	if (cmd->opcode == NSDK_NVME_NVM_WRITE_ZEROES) {
		memset(disk, 0, bytes);
		return 0;
	}
	if (fake.mdts && bytes > (size_t)4096 << fake.mdts)
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	switch (cmd->opcode) {
	case NSDK_NVME_NVM_READ:
		return copy_prps(cmd, disk, bytes, true);
	case NSDK_NVME_NVM_WRITE:
		return copy_prps(cmd, disk, bytes, false);
	case NSDK_NVME_NVM_COMPARE:
		CU_ASSERT_FATAL(bytes <= sizeof(copy));
		status = copy_prps(cmd, copy, bytes, false);
		if (!status && memcmp(copy, disk, bytes) != 0)
			status = NSDK_NVME_STATUS(2, NSDK_NVME_SC_COMPARE_FAILURE);
		return status;
	default:
		return NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_OPCODE);
	}
}

static void run_queue(uint16_t qid)
{
	struct fake_queue *queue = &fake.queues[qid];
	uint32_t tail;

	if (!queue->sq_exists)
		return;
	memcpy(&tail, fake_bar + NSDK_NVME_REG_DOORBELLS + 8 * qid, sizeof(tail));
	/* The admin queue's are in both (Base 5.8), from the first that is rung behind the command on. */
	if (fake.shadow && qid == 0 && tail != queue->sq_head)
		CU_ASSERT_EQUAL(fake.shadow[0], tail);
	if (fake.shadow && qid != 0)
		tail = fake.shadow[2 * qid];
	CU_ASSERT_FATAL(tail < queue->sq_entries);
	if (qid != 0 && tail != queue->sq_head)
		fake.doorbells_used++;
	while (queue->sq_exists && queue->sq_head != tail) {
		enum fake_action action = FAKE_DO;
		struct nsdk_nvme_cmd cmd = { 0 };
		uint16_t status = 0;
		uint32_t dw0 = 0;

		copy_dma(queue->sq_iova + 64ull * queue->sq_head, (uint8_t *)&cmd, sizeof(cmd), false);
		if (++queue->sq_head == queue->sq_entries)
			queue->sq_head = 0;
		fake.commands++;
		fake.last[qid] = cmd;
		fake.last_cid[qid] = cmd.cid;
		if (fake.hook)
			action = fake.hook(&cmd, qid, &status, &dw0);
		if (action == FAKE_HOLD || (qid == 0 && cmd.opcode == NSDK_NVME_ADMIN_SELF_TEST))
			continue;
		if (action == FAKE_DO && qid == 0 && cmd.opcode == NSDK_NVME_ADMIN_ASYNC_EVENT) {
			fake.aer_cids[fake.aers++] = cmd.cid;
			continue;
		}
		if (action == FAKE_DO)
			status = qid == 0 ? admin_command(&cmd, &dw0) : io_command(&cmd);
		fake_post(qid, (struct nsdk_nvme_cpl){ .dw0 = dw0,
						       .sqhd = queue->sq_head,
						       .sqid = qid,
						       .cid = cmd.cid,
						       .status = status });
	}
}

static bool has_a_turn(void)
{
	if (fake.slowness && ++fake.runs % fake.slowness)
		return false;
	return !fake.gone && (fake.csts & NSDK_NVME_CSTS_RDY) && fake.bus_master;
}

void fake_run(void)
{
	fake_lock();
	if (has_a_turn())
		for (uint16_t qid = 0; qid < FAKE_QUEUES; qid++)
			run_queue(qid);
	fake_unlock();
}
