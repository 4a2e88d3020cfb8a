/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake controller with directives and flexible data placement: what it says is memory of the test, which
 * it hands out byte for byte, so that all of it can be a lie.
 */
#ifndef FAKE_FDP_H
#define FAKE_FDP_H

#include "fake_nvme.h"

#include <nsdk/nvme_fdp.h>

#define FAKE_FDP_COMMANDS 64

struct fake_fdp {
	/* Log pages 20h to 23h. */
	_Alignas(8) uint8_t log[4][4096];
	/* What the second read of a page finds; 0: the same. */
	unsigned change_at; /* the n-th Get Log Page, from 1, begins with these bytes … */
	uint8_t change[8];
	unsigned change_bytes;
	struct nsdk_nvme_directives directives;
	struct nsdk_nvme_fdp_event_state states[8];
	_Alignas(8) uint8_t status[8192]; /* of reclaim unit handles */
	uint32_t dw0;            /* of features */
	uint16_t admin_status;   /* of those commands */
	unsigned fail_at;        /* the n-th of them fails; 0: none */
	uint16_t io_status;
	enum fake_action io_action;
	bool silent;             /* it says that it has told what was asked for, and has not */
	uint16_t endgid;
	uint8_t nguid, eui64;    /* the first byte of each */
	/* What it got. */
	struct nsdk_nvme_cmd admin[FAKE_FDP_COMMANDS], io[FAKE_FDP_COMMANDS];
	unsigned admin_count, io_count;
	uint8_t sent[256];       /* the data of the last that brought some */
};
extern struct fake_fdp fake_fdp;

extern struct nsdk_nvme_ctrlr *fake_fdp_ctrlr;
extern struct nsdk_nvme_qpair *fake_fdp_qp;
extern struct nsdk_nvme_ns *fake_fdp_ns;
extern struct fake_done fake_fdp_done;
extern struct nsdk_nvme_cpl fake_fdp_cpl;

/* For each test: a controller that says nothing wrong, not attached yet; and away with it. */
void fake_fdp_before(void);
void fake_fdp_attach(void);
void fake_fdp_after(void);

/* So many placement identifiers, from @p pids on. */
void fake_fdp_say_pids(const uint16_t *pids, unsigned count);
/* … which are learned. */
void fake_fdp_learn(const uint16_t *pids, unsigned count);
/* Polls until one more has come back; its status. */
uint16_t fake_fdp_run(void);

#endif
