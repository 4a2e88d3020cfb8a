/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller whose vectors a test is about, with I/O that can be held back. */
#ifndef IRQ_RIG_H
#define IRQ_RIG_H

#include "fake_nvme.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static bool hold_io;

static inline enum fake_action hook(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				    uint32_t *dw0)
{
	return hold_io && qid != 0 ? FAKE_HOLD : FAKE_DO;
}

/* @param interrupts  of the admin queue. */
static inline void attach(unsigned vectors, bool interrupts)
{
	nsdk_unit_log_start();
	fake_reset();
	fake.vectors = vectors;
	fake.interrupts = interrupts;
	fake.notice_fd = eventfd(0, EFD_NONBLOCK);
	fake.hook = hook;
	hold_io = false;
	ctrlr = fake_attach();
	fake.clock_step_ns = 0;
}

static inline void bring_up(unsigned vectors)
{
	attach(vectors, false);
	nsdk_unit_log_clear();
}

/* The same with an interrupt of the admin queue, which has been looked at. */
static inline void bring_up_admin(unsigned vectors)
{
	attach(vectors, true);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static inline void detach(void)
{
	hold_io = false;
	fake.clock_step_ns = 10000000;
	nsdk_nvme_detach(ctrlr);
}

static inline void check_clean(void)
{
	close(fake.notice_fd);
	fake_check_clean();
	nsdk_unit_log_stop();
}

static inline void take_down(void)
{
	detach();
	check_clean();
}

static inline struct nsdk_nvme_qpair *make(uint64_t timeout_ns)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .entries = 8,
					     .timeout_ns = timeout_ns, .interrupts = true };
	struct nsdk_nvme_qpair *qp = NULL;

	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	return qp;
}

static inline int read_one(struct nsdk_nvme_qpair *qp, struct fake_done *done)
{
	return nsdk_nvme_read(nsdk_nvme_ns_get(ctrlr, 1), qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb,
			      done);
}

/* Whether it was signalled since. */
static inline bool signalled(const struct nsdk_nvme_qpair *qp)
{
	eventfd_t count;

	return eventfd_read(nsdk_nvme_irq_fd(qp), &count) == 0;
}

static inline bool admin_signalled(void)
{
	eventfd_t count;

	return eventfd_read(nsdk_nvme_irq_admin_fd(ctrlr), &count) == 0;
}

static inline int arm(struct nsdk_nvme_qpair *qp, uint64_t *wake_ns)
{
	*wake_ns = UINT64_MAX;
	return nsdk_nvme_irq_arm(qp, false, wake_ns);
}

static inline int arm_admin(uint64_t *wake_ns)
{
	*wake_ns = UINT64_MAX;
	return nsdk_nvme_irq_arm_admin(ctrlr, wake_ns);
}

/* Armed, and what was signalled before has been noticed. */
static inline void await_admin(void)
{
	uint64_t wake_ns;

	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	(void)admin_signalled();
}

#endif
