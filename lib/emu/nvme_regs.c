/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Controller registers (Base 3.1.3): enabling, shutdown, reset.
 *
 * What the specification leaves undefined is made visible: a controller that is enabled with values
 * that CAP does not allow sets CSTS.CFS instead of becoming ready, and says why at log level info.
 */
#include <nsdk/env.h>
#include <nsdk/log.h>
#include <string.h>

#include "nvme_zns.h"

#define CAP_CQR (UINT64_C(1) << 16)    /* queues must be contiguous */
#define CAP_NSSRS (UINT64_C(1) << 36)  /* NVM subsystem reset */
#define CAP_CSS_NVM (UINT64_C(1) << 37)
#define CAP_CSS_SETS (UINT64_C(1) << 43) /* Identify CNS 05h and its kin */
#define CAP_CRWMS (UINT64_C(1) << 59)  /* ready with media; CRTO says when */
#define MPSMAX 4u                      /* 64 KiB */

#define CC_CSS(cc) ((cc) >> NSDK_NVME_CC_CSS_SHIFT & 7)
#define CC_MPS(cc) ((cc) >> NSDK_NVME_CC_MPS_SHIFT & 15)
#define CC_AMS(cc) ((cc) >> NSDK_NVME_CC_AMS_SHIFT & 7)
#define CC_IOSQES(cc) ((cc) >> NSDK_NVME_CC_IOSQES_SHIFT & 15)
#define CC_IOCQES(cc) ((cc) >> NSDK_NVME_CC_IOCQES_SHIFT & 15)
#define CC_CRIME (1u << 24)
#define AMS_ROUND_ROBIN 0u
#define AMS_WEIGHTED 1u
#define CSS_NVM 0u
#define CSS_ALL 6u
#define CSTS_NSSRO 0x10u
#define NSSR_MAGIC 0x4e564d65u /* "NVMe" */

#define AQA_ASQS(aqa) ((aqa)&0xfff)
#define AQA_ACQS(aqa) ((aqa) >> 16 & 0xfff)

/* CAP.TO and CRTO.CRWMT, in 500 ms: what was asked for and a margin for a busy machine. */
static uint64_t ready_units(const struct emu_nvme *ctrl)
{
	return ctrl->opts.ready_ns / 500000000 + 2;
}

void emu_nvme_regs_init(struct emu_nvme *ctrl)
{
	ctrl->fails_left = ctrl->opts.reset_fails;
	ctrl->cap = (ctrl->opts.entries - 1) | CAP_CQR | ready_units(ctrl) << 24 | CAP_NSSRS |
		    CAP_CSS_NVM | CAP_CSS_SETS | (uint64_t)MPSMAX << 52 | CAP_CRWMS;
	emu_nvme_cmb_init(ctrl);
	if (ctrl->opts.wrr)
		ctrl->cap |= NSDK_NVME_CAP_AMS_WRR;
	if (ctrl->opts.pmr_bytes)
		ctrl->cap |= NSDK_NVME_CAP_PMRS;
	ctrl->page_bytes = EMU_NVME_PAGE;
	emu_nvme_features_reset(ctrl);
}

void emu_nvme_fatal(struct emu_nvme *ctrl, const char *why)
{
	int state = atomic_load(&ctrl->state);

	/* A reset that comes first wins: it has stopped what failed. */
	while (state == EMU_NVME_RUNNING || state == EMU_NVME_STARTING)
		if (atomic_compare_exchange_weak(&ctrl->state, &state, EMU_NVME_FATAL)) {
			nsdk_log(NSDK_LOG_INFO, EMU_NVME_ROOM,
				 "emu:nvme: the controller sets its fatal status: %s", why);
			return;
		}
}

/* Controller level reset: queues, events and features go; the admin queue registers stay. */
void emu_nvme_regs_reset(struct emu_nvme *ctrl)
{
	if (atomic_load(&ctrl->state) == EMU_NVME_RUNNING)
		ctrl->unsafe_shutdowns++;
	atomic_store(&ctrl->state, EMU_NVME_OFF);
	for (unsigned i = 0; i <= ctrl->opts.queues; i++)
		emu_nvme_sq_destroy(ctrl, i);
	for (unsigned i = 0; i <= ctrl->opts.queues; i++)
		emu_nvme_cq_destroy(ctrl, i);
	atomic_store(&ctrl->cqs_used, 0);
	ctrl->shadow = (struct emu_nvme_shadow){ 0 };
	emu_nvme_hmb_reset(ctrl);
	emu_nvme_cmb_reset(ctrl, false);
	for (unsigned i = 0; i < 2 * (ctrl->opts.queues + 1); i++)
		atomic_store_explicit(&ctrl->doorbells[i], 0, memory_order_relaxed);
	ctrl->aer_count = 0;
	ctrl->cc = 0;
	ctrl->intm = 0;
	ctrl->shut_down = false;
	ctrl->was_ready = false;
	ctrl->stuck = false;
	ctrl->page_bytes = EMU_NVME_PAGE;
	ctrl->iosqes = 0;
	ctrl->iocqes = 0;
	atomic_store(&ctrl->wrr, false);
	for (unsigned i = 0; i < ctrl->vector_count; i++)
		atomic_store(&ctrl->vector_pending[i], false);
	emu_nvme_event_reset(ctrl);
	emu_nvme_lie_reset(ctrl);
	emu_nvme_features_reset(ctrl);
	emu_nvme_firmware_reset(ctrl);
	emu_nvme_self_test_reset(ctrl);
}

/* Why a controller cannot be enabled like this, or NULL. */
static const char *refuse(const struct emu_nvme *ctrl, uint32_t cc)
{
	size_t page = (size_t)EMU_NVME_PAGE << CC_MPS(cc);

	if (CC_CSS(cc) != CSS_NVM && CC_CSS(cc) != CSS_ALL)
		return "CC.CSS names a command set that CAP.CSS has not";
	if (CC_MPS(cc) > MPSMAX)
		return "CC.MPS is above CAP.MPSMAX";
	if (CC_AMS(cc) != AMS_ROUND_ROBIN && !(CC_AMS(cc) == AMS_WEIGHTED && ctrl->opts.wrr))
		return "CC.AMS names an arbitration that CAP.AMS has not";
	if (cc & CC_CRIME)
		return "CC.CRIME is set, and CAP.CRMS has no such mode";
	if (AQA_ASQS(ctrl->aqa) == 0 || AQA_ACQS(ctrl->aqa) == 0)
		return "AQA says an admin queue of less than two entries";
	if (ctrl->asq % page || ctrl->acq % page)
		return "ASQ or ACQ is not aligned to the memory page of CC.MPS";
	return NULL;
}

/* CC.EN went from 0 to 1. */
static void enable(struct emu_nvme *ctrl, uint32_t cc)
{
	const char *why = refuse(ctrl, cc);

	ctrl->cc = cc;
	ctrl->fails_now = ctrl->was_up && ctrl->fails_left > 0;
	if (ctrl->fails_now)
		ctrl->fails_left--;
	atomic_store(&ctrl->state, EMU_NVME_STARTING);
	ctrl->ready_ns = nsdk_clock_ns() + ctrl->opts.ready_ns;
	ctrl->page_bytes = EMU_NVME_PAGE << CC_MPS(cc);
	ctrl->iosqes = CC_IOSQES(cc);
	ctrl->iocqes = CC_IOCQES(cc);
	atomic_store(&ctrl->wrr, CC_AMS(cc) == AMS_WEIGHTED);
	if (!why && (emu_nvme_cq_create(ctrl, 0, ctrl->acq, AQA_ACQS(ctrl->aqa) + 1, true, 0) ||
		     emu_nvme_sq_create(ctrl, 0, ctrl->asq, AQA_ASQS(ctrl->aqa) + 1, 0, EMU_NVME_ARB_URGENT)))
		why = "there is no memory for its admin queue";
	if (why) {
		ctrl->page_bytes = EMU_NVME_PAGE;
		emu_nvme_fatal(ctrl, why);
	}
}

static void get_ready_in_time(struct emu_nvme *ctrl)
{
	int starting = EMU_NVME_STARTING;

	if (atomic_load(&ctrl->state) != starting || ctrl->fails_now ||
	    ctrl->opts.fault == EMU_NVME_FAULT_NEVER_READY ||
	    (ctrl->opts.ready_ns && nsdk_clock_ns() < ctrl->ready_ns))
		return;
	ctrl->was_ready |= atomic_compare_exchange_strong(&ctrl->state, &starting, EMU_NVME_RUNNING);
	ctrl->was_up |= ctrl->was_ready;
}

void emu_nvme_regs_check_ready(struct emu_nvme *ctrl)
{
	if (pthread_mutex_trylock(&ctrl->registers))
		return;
	get_ready_in_time(ctrl);
	pthread_mutex_unlock(&ctrl->registers);
}

static void shut_down(struct emu_nvme *ctrl)
{
	int state = atomic_load(&ctrl->state);

	while ((state == EMU_NVME_RUNNING || state == EMU_NVME_STARTING) &&
	       !atomic_compare_exchange_weak(&ctrl->state, &state, EMU_NVME_SHUT))
		;
	emu_nvme_store_flush(&ctrl->store);
	emu_nvme_zns_shutdown(ctrl);
	ctrl->shut_down = true;
}

static void write_cc(struct emu_nvme *ctrl, uint32_t cc)
{
	uint32_t while_enabled = NSDK_NVME_CC_SHN_MASK | 15u << NSDK_NVME_CC_IOSQES_SHIFT |
				 15u << NSDK_NVME_CC_IOCQES_SHIFT;
	bool was_enabled = ctrl->cc & NSDK_NVME_CC_EN;

	emu_nvme_freeze(ctrl);
	if (was_enabled && !(cc & NSDK_NVME_CC_EN)) {
		emu_nvme_regs_reset(ctrl);
		ctrl->stuck = ctrl->opts.disable_hangs;
		/* The other fields keep what was written: the host builds CC step by step. */
		ctrl->cc = cc & ~NSDK_NVME_CC_SHN_MASK;
	} else if (!was_enabled && (cc & NSDK_NVME_CC_EN)) {
		enable(ctrl, cc);
	} else if (was_enabled) {
		/* To change the rest of an enabled controller is undefined: it has no effect. */
		ctrl->cc = (ctrl->cc & ~while_enabled) | (cc & while_enabled);
		ctrl->iosqes = CC_IOSQES(ctrl->cc);
		ctrl->iocqes = CC_IOCQES(ctrl->cc);
	} else {
		ctrl->cc = cc;
	}
	if ((cc & NSDK_NVME_CC_SHN_MASK) == NSDK_NVME_CC_SHN_NORMAL ||
	    (cc & NSDK_NVME_CC_SHN_MASK) == NSDK_NVME_CC_SHN_ABRUPT)
		shut_down(ctrl);
	emu_nvme_thaw(ctrl);
}

static uint32_t read_csts(struct emu_nvme *ctrl)
{
	uint32_t csts = 0;
	int state;

	get_ready_in_time(ctrl);
	state = atomic_load(&ctrl->state);
	/* A controller that failed or was shut down stays ready if it was. */
	if ((ctrl->was_ready || ctrl->stuck) && !atomic_load(&ctrl->flaps))
		csts |= NSDK_NVME_CSTS_RDY;
	if (state == EMU_NVME_FATAL)
		csts |= NSDK_NVME_CSTS_CFS;
	if (ctrl->shut_down)
		csts |= NSDK_NVME_CSTS_SHST_COMPLETE;
	if (ctrl->subsystem_reset)
		csts |= CSTS_NSSRO;
	return csts;
}

static uint32_t read_dword(struct emu_nvme *ctrl, size_t offset)
{
	switch (offset) {
	case NSDK_NVME_REG_CAP:
		return (uint32_t)ctrl->cap;
	case NSDK_NVME_REG_CAP + 4:
		return (uint32_t)(ctrl->cap >> 32);
	case NSDK_NVME_REG_VS:
		return EMU_NVME_VERSION;
	case NSDK_NVME_REG_INTMS:
	case NSDK_NVME_REG_INTMC:
		return ctrl->intm;
	case NSDK_NVME_REG_CC:
		return ctrl->cc;
	case NSDK_NVME_REG_CSTS:
		return read_csts(ctrl);
	case NSDK_NVME_REG_AQA:
		return ctrl->aqa;
	case NSDK_NVME_REG_ASQ:
		return (uint32_t)ctrl->asq;
	case NSDK_NVME_REG_ASQ + 4:
		return (uint32_t)(ctrl->asq >> 32);
	case NSDK_NVME_REG_ACQ:
		return (uint32_t)ctrl->acq;
	case NSDK_NVME_REG_ACQ + 4:
		return (uint32_t)(ctrl->acq >> 32);
	case NSDK_NVME_REG_CMBLOC:
	case NSDK_NVME_REG_CMBSZ:
	case NSDK_NVME_REG_CMBMSC:
	case NSDK_NVME_REG_CMBMSC + 4:
	case NSDK_NVME_REG_CMBSTS:
		return emu_nvme_cmb_read(ctrl, offset);
	case NSDK_NVME_REG_PMRCAP:
	case NSDK_NVME_REG_PMRCTL:
	case NSDK_NVME_REG_PMRSTS:
		return emu_nvme_pmr_read(ctrl, offset);
	case NSDK_NVME_REG_CRTO:
		return (uint32_t)ready_units(ctrl);
	default: /* NSSR reads as 0, and so does what is not there */
		return 0;
	}
}

static void write_dword(struct emu_nvme *ctrl, size_t offset, uint32_t value)
{
	const uint64_t low = UINT32_MAX, page = ~(uint64_t)(EMU_NVME_PAGE - 1);

	switch (offset) {
	case NSDK_NVME_REG_INTMS:
		/* Kept, and without effect: there are no pin-based interrupts and no MSI. */
		ctrl->intm |= value;
		break;
	case NSDK_NVME_REG_INTMC:
		ctrl->intm &= ~value;
		break;
	case NSDK_NVME_REG_CC:
		write_cc(ctrl, value);
		break;
	case NSDK_NVME_REG_CSTS:
		if (value & CSTS_NSSRO)
			ctrl->subsystem_reset = false;
		break;
	case NSDK_NVME_REG_NSSR:
		if (value != NSSR_MAGIC)
			break;
		emu_nvme_freeze(ctrl);
		emu_nvme_regs_reset(ctrl);
		emu_nvme_zns_shutdown(ctrl);
		emu_nvme_thaw(ctrl);
		ctrl->subsystem_reset = true;
		break;
	case NSDK_NVME_REG_CMBMSC:
		emu_nvme_freeze(ctrl);
		emu_nvme_cmb_write(ctrl, (ctrl->cmb.msc & ~low) | value);
		emu_nvme_thaw(ctrl);
		break;
	case NSDK_NVME_REG_CMBMSC + 4:
		emu_nvme_freeze(ctrl);
		emu_nvme_cmb_write(ctrl, (ctrl->cmb.msc & low) | (uint64_t)value << 32);
		emu_nvme_thaw(ctrl);
		break;
	case NSDK_NVME_REG_PMRCTL:
		emu_nvme_pmr_control(ctrl, value);
		break;
	case NSDK_NVME_REG_AQA:
		ctrl->aqa = value & 0x0fff0fff;
		break;
	case NSDK_NVME_REG_ASQ:
		ctrl->asq = ((ctrl->asq & ~low) | value) & page;
		break;
	case NSDK_NVME_REG_ASQ + 4:
		ctrl->asq = (ctrl->asq & low) | (uint64_t)value << 32;
		break;
	case NSDK_NVME_REG_ACQ:
		ctrl->acq = ((ctrl->acq & ~low) | value) & page;
		break;
	case NSDK_NVME_REG_ACQ + 4:
		ctrl->acq = (ctrl->acq & low) | (uint64_t)value << 32;
		break;
	default:
		break;
	}
}

static _Atomic uint32_t *doorbell_at(struct emu_nvme *ctrl, size_t offset)
{
	return offset + sizeof(uint32_t) <= ctrl->bar0_bytes ?
		       &ctrl->doorbells[(offset - NSDK_NVME_REG_DOORBELLS) / sizeof(uint32_t)] :
		       NULL;
}

/* Registers are reached in whole dwords, or two of them at once (Base 3.1.3). */
uint64_t emu_nvme_regs_read(struct emu_nvme *ctrl, size_t offset, unsigned width)
{
	_Atomic uint32_t *doorbell;
	uint64_t value = 0;

	if ((width != 4 && width != 8) || offset % 4)
		return UINT64_MAX;
	pthread_mutex_lock(&ctrl->registers);
	for (unsigned i = 0; i < width / 4; i++) {
		uint32_t dword = UINT32_MAX;

		if (emu_nvme_config_decodes(ctrl) && offset < NSDK_NVME_REG_DOORBELLS) {
			dword = read_dword(ctrl, offset);
		} else if (emu_nvme_config_decodes(ctrl)) {
			doorbell = doorbell_at(ctrl, offset);
			if (doorbell)
				dword = atomic_load_explicit(doorbell, memory_order_relaxed);
		}
		value |= (uint64_t)dword << i * 32;
		offset += 4;
	}
	pthread_mutex_unlock(&ctrl->registers);
	return value;
}

void emu_nvme_regs_write(struct emu_nvme *ctrl, size_t offset, unsigned width, uint64_t value)
{
	_Atomic uint32_t *doorbell;

	if ((width != 4 && width != 8) || offset % 4)
		return;
	pthread_mutex_lock(&ctrl->registers);
	for (unsigned i = 0; i < width / 4; i++) {
		if (emu_nvme_config_decodes(ctrl) && offset < NSDK_NVME_REG_DOORBELLS) {
			write_dword(ctrl, offset, (uint32_t)(value >> i * 32));
		} else if (emu_nvme_config_decodes(ctrl)) {
			doorbell = doorbell_at(ctrl, offset);
			/* Release: the entries before the doorbell, for whoever takes the next turn. */
			if (doorbell)
				atomic_store_explicit(doorbell, (uint32_t)(value >> i * 32),
						      memory_order_release);
		}
		offset += 4;
	}
	pthread_mutex_unlock(&ctrl->registers);
}
