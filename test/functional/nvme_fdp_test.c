/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives and flexible data placement on the emulated controller: what a namespace has, where writes of
 * all kinds are counted, what is refused, log pages, events and features; and that no cache line is missed.
 *
 * With NSDK_FDP_DEVICE=DEVICE on that one instead, whose data is lost: the VM lab has it so on a controller
 * that nobody here wrote.
 */
#include "nvme_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_fdp.h>

#define PLACEMENT NSDK_NVME_DIRECTIVE_PLACEMENT
#define MAX_PIDS 128u
#define STATUS_AT (RIG_ARENA_BYTES / 2)

static const char *real_device;
static struct nsdk_nvme_ns *ns;
static uint32_t block; /* bytes */
static const uint16_t *pids;
static unsigned count;
static struct nsdk_nvme_cpl cpl;

/* ---- What it says ---- */

static const struct nsdk_nvme_ruh_status *status(void)
{
	size_t bytes = sizeof(struct nsdk_nvme_ruh_status_header) +
		       MAX_PIDS * sizeof(struct nsdk_nvme_ruh_status);
	uint8_t *buf = rig.arena + STATUS_AT;
	unsigned there;

	bytes = (bytes + 63) & ~(size_t)63;
	memset(buf, 0xee, bytes);
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_ruh_status(ns, rig.qp, buf, bytes, rig_done_cb, &rig_once)), 0);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(ns, buf, bytes, &there), 0);
	NSDK_ASSERT_INT(there, count);
	return (const void *)(buf + sizeof(struct nsdk_nvme_ruh_status_header));
}

/* Blocks that go into each one's unit yet. */
static void rooms(uint64_t out[MAX_PIDS])
{
	const struct nsdk_nvme_ruh_status *of = status();

	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < count; j++)
			if (of[j].pid == pids[i])
				out[i] = of[j].ruamw;
}

static uint64_t written(void)
{
	struct nsdk_nvme_fdp_stats stats;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_stats(rig.ctrlr, nsdk_nvme_ns_endgid(ns), &stats, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && stats.hbmw[1] == 0);
	return stats.hbmw[0];
}

static struct nsdk_nvme_io_ext say(uint16_t pid)
{
	return (struct nsdk_nvme_io_ext){
		.ext_bytes = sizeof(struct nsdk_nvme_io_ext),
		.dtype = PLACEMENT,
		.dspec = pid,
	};
}

static int put(uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext)
{
	static struct iovec iov; /* until the callback */

	iov = (struct iovec){ rig.arena, (size_t)blocks * block };
	return nsdk_nvme_writev_ext(ns, rig.qp, &iov, 1, lba, blocks, ext, rig_done_cb, &rig_once);
}

/* A write, by the identifier of that index, is counted there and nowhere else. */
static void is_counted(uint64_t lba, uint32_t blocks, unsigned index)
{
	uint64_t before[MAX_PIDS], after[MAX_PIDS], bytes = written();
	struct nsdk_nvme_io_ext ext = say(pids[index]);

	rooms(before);
	NSDK_ASSERT_INT(RIG_RUN(put(lba, blocks, &ext)), 0);
	rooms(after);
	CU_ASSERT_EQUAL(written() - bytes, (uint64_t)blocks * block);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(before[i] - after[i], i == index ? blocks : 0);
}

/* Begin with as much room as there can be. */
static void update_all(void)
{
	uint16_t *list = (uint16_t *)(void *)(rig.arena + STATUS_AT - 4096);

	for (unsigned i = 0; i < count; i++) {
		list[0] = pids[i];
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_ruh_update(ns, rig.qp, list, 1, rig_done_cb, &rig_once)),
				0);
	}
}

/* ---- Tests ---- */

static void is_not_known_before(void)
{
	struct nsdk_nvme_io_ext ext = say(0);
	const uint16_t *none;

	NSDK_ASSERT_INT(nsdk_nvme_ns_endgid(ns), 1);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(ns, &none), 0);
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("nsdk_nvme_placement_learn()");
	nsdk_unit_log_stop();
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(ns, rig.qp, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	count = nsdk_nvme_ns_placements(ns, &pids);
	CU_ASSERT_FATAL(count >= 2 && count <= MAX_PIDS);
	for (unsigned i = 1; i < count; i++)
		CU_ASSERT(pids[i] > pids[i - 1]);
	/* Once more is the same list. */
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(ns, rig.qp, &cpl), 0);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(ns, &none), count);
	CU_ASSERT_PTR_EQUAL(none, pids);
}

static void is_in_the_configuration(void)
{
	struct nsdk_nvme_fdp_config *configs;
	unsigned there, handles, in_use = 0;
	uint8_t *usage, index = 0xff;
	bool on = false;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_configs(rig.ctrlr, 1, &configs, &there, &cpl), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(configs);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(rig.ctrlr, 1, &on, &index, &cpl), 0);
	CU_ASSERT_FATAL(on && index < there);
	CU_ASSERT_FATAL(configs[index].valid);
	handles = configs[index].handles;
	CU_ASSERT(count <= configs[index].max_pids && count <= handles * configs[index].groups);
	/* One for each group of a handle. */
	NSDK_ASSERT_INT(count % configs[index].groups, 0);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT((uint32_t)pids[i] >> (16 - configs[index].rgif) < configs[index].groups);
	CU_ASSERT(configs[index].unit_bytes >= block);
	NSDK_ASSERT_INT(configs[index].ruhs[handles - 1].type, NSDK_NVME_RUH_INITIALLY_ISOLATED);
	free(configs);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(rig.ctrlr, 1, &usage, &there, &cpl), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(usage);
	NSDK_ASSERT_INT(there, handles);
	for (unsigned i = 0; i < there; i++)
		in_use += usage[i] != NSDK_NVME_RUH_UNUSED;
	CU_ASSERT(in_use >= 1);
	free(usage);
	/* Another endurance group there is not. */
	NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(rig.ctrlr, 2, &usage, &there, &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl) && !usage && there == 0);
}

static void is_a_directive(void)
{
	struct nsdk_nvme_directives directives;

	NSDK_ASSERT_INT(nsdk_nvme_directives(ns, &directives, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	CU_ASSERT(nsdk_nvme_directive_in(directives.supported, NSDK_NVME_DIRECTIVE_IDENTIFY) &&
		  nsdk_nvme_directive_in(directives.supported, PLACEMENT) &&
		  nsdk_nvme_directive_in(directives.enabled, PLACEMENT) &&
		  nsdk_nvme_directive_in(directives.persistent, PLACEMENT));
	CU_ASSERT(!nsdk_nvme_directive_in(directives.supported, NSDK_NVME_DIRECTIVE_STREAMS));
	/* What it does not know it does not turn on. */
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(ns, NSDK_NVME_DIRECTIVE_STREAMS, true, &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(ns, NSDK_NVME_DIRECTIVE_IDENTIFY, false, &cpl), -EINVAL);
	if (real_device)
		return;
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(ns, PLACEMENT, true, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
}

static void writes_go_where_they_say(void)
{
	uint32_t large = (uint32_t)(nsdk_nvme_ctrlr_max_transfer_bytes(rig.ctrlr) / block) * 2 + 3;
	uint64_t before[MAX_PIDS], after[MAX_PIDS];

	rig_fill(rig.arena, (size_t)large * block);
	update_all();
	rooms(before);
	for (unsigned i = 0; i < count && i < 6; i++)
		is_counted(10 * i, 1 + i, i);
	is_counted(100, 9, count - 1);
	/* More commands than one, each of which says it. */
	if (before[1] > large + 2)
		is_counted(200, large, 1);
	update_all();
	rooms(after);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(after[i], before[i]);
	/* What says nothing goes by the first. */
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_write(ns, rig.qp, rig.arena, 7, 2, 0, rig_done_cb, &rig_once)), 0);
	rooms(after);
	CU_ASSERT_EQUAL(before[0] - after[0], 2);
	/* And with flags and hints it goes where it says as well. */
	struct nsdk_nvme_io_ext ext = say(pids[1]);

	ext.flags = NSDK_NVME_RW_FUA;
	ext.dsm = NSDK_NVME_RW_DSM_SEQUENTIAL;
	NSDK_ASSERT_INT(RIG_RUN(put(3, 1, &ext)), 0);
	rooms(after);
	CU_ASSERT_EQUAL(before[1] - after[1], 1);
}

static void other_commands_do_too(void)
{
	struct nsdk_nvme_copy_range *range = (void *)(rig.arena + STATUS_AT - 8192);
	const struct nsdk_nvme_id_ctrl *id = nsdk_nvme_ctrlr_data(rig.ctrlr);
	uint64_t before[MAX_PIDS], after[MAX_PIDS];
	struct nsdk_nvme_io_ext ext = say(pids[1]);

	update_all();
	rooms(before);
	if (id->oncs & NSDK_NVME_ONCS_WRITE_ZEROES) {
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_write_zeroes_ext(ns, rig.qp, 40, 3, &ext, rig_done_cb,
								   &rig_once)), 0);
		rooms(after);
		CU_ASSERT_EQUAL(before[1] - after[1], 3);
	}
	ext.dspec = pids[count - 1];
	rooms(before);
	memset(range, 0, sizeof(*range));
	range->blocks = 1;
	if (id->oncs & NSDK_NVME_ONCS_COPY) {
		NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_copy_ext(ns, rig.qp, range, 1, 60, &ext, rig_done_cb,
							   &rig_once)), 0);
		rooms(after);
		if (!real_device)
			CU_ASSERT_EQUAL(before[count - 1] - after[count - 1], 2);
	}
	/* Nothing but flags goes with these. */
	ext.dsm = 1;
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes_ext(ns, rig.qp, 40, 3, &ext, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_copy_ext(ns, rig.qp, range, 1, 60, &ext, rig_done_cb, &rig_once), -EINVAL);
	ext = say(pids[0]);
	ext.ext_bytes--;
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes_ext(ns, rig.qp, 40, 3, &ext, rig_done_cb, &rig_once), -EINVAL);
}

/* The sentence of what is not there, and that nothing goes out. */
static void what_is_not_there_is_refused(void)
{
	uint16_t *list = (uint16_t *)(void *)(rig.arena + STATUS_AT - 4096);
	static _Alignas(64) uint8_t foreign[64]; /* no DMA memory */
	struct iovec iov = { rig.arena, block };
	struct nsdk_nvme_io_ext ext = say(pids[count - 1] + 1u);
	uint64_t bytes = written();

	nsdk_unit_log_start();
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("has no placement identifier");
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes_ext(ns, rig.qp, 0, 1, &ext, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("use one of the");
	nsdk_unit_log_clear();
	list[0] = pids[0];
	list[1] = ext.dspec;
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(ns, rig.qp, list, 2, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("has no placement identifier");
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(ns, rig.qp, list, 0, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(ns, rig.qp, list + 1, 1, rig_done_cb, &rig_once), -EINVAL);
	/* Who reads places nothing; there are no such types; and none has nothing to say. */
	ext = say(pids[0]);
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb, &rig_once),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_comparev_ext(ns, rig.qp, &iov, 1, 0, 1, &ext, rig_done_cb, &rig_once),
			-EINVAL);
	ext.dtype = 3;
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	ext.dtype = 0;
	ext.dspec = 1;
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	/* Streams are the controller's to refuse. */
	ext.dtype = NSDK_NVME_DIRECTIVE_STREAMS;
	if (!real_device)
		NSDK_ASSERT_INT(RIG_RUN(put(0, 1, &ext)),
				NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_INVALID_FIELD));
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status(ns, rig.qp, rig.arena, 12, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status(ns, rig.qp, rig.arena, 18, rig_done_cb, &rig_once), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status(ns, rig.qp, foreign, 64, rig_done_cb, &rig_once), -EFAULT);
	nsdk_unit_log_stop();
	CU_ASSERT_EQUAL(written(), bytes);
}

static void a_short_status_is_told_so(void)
{
	uint8_t *buf = rig.arena + STATUS_AT;
	const uint16_t *same;
	unsigned there = 0;

	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_ruh_status(ns, rig.qp, buf, 64, rig_done_cb, &rig_once)), 0);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(ns, buf, 64, &there), -ENOSPC);
	NSDK_ASSERT_INT(there, count);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(ns, &same), count);
}

static unsigned events(bool host, struct nsdk_nvme_fdp_event *out)
{
	unsigned there = 99;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(rig.ctrlr, 1, host, out, &there, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	return there;
}

static bool is_logged(uint16_t handle, uint8_t type)
{
	struct nsdk_nvme_fdp_event_state states[8];
	unsigned there = 0;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(ns, handle, states, 8, &there, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && there >= 1);
	for (unsigned i = 0; i < there; i++)
		if (states[i].type == type)
			return states[i].enabled & 1;
	CU_FAIL("there is no such event");
	return false;
}

static void events_are_logged(void)
{
	static const uint8_t types[] = { NSDK_NVME_FDP_NOT_FULLY_WRITTEN };
	struct nsdk_nvme_fdp_event list[NSDK_NVME_FDP_MAX_EVENTS];
	struct nsdk_nvme_io_ext ext = say(pids[0]);
	unsigned before = events(true, list), after;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, 0, types, 1, false, false, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && !is_logged(0, types[0]));
	NSDK_ASSERT_INT(RIG_RUN(put(0, 1, &ext)), 0);
	update_all();
	NSDK_ASSERT_INT(events(true, list), before);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, 0, types, 1, true, false, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && is_logged(0, types[0]));
	NSDK_ASSERT_INT(RIG_RUN(put(0, 1, &ext)), 0);
	update_all();
	after = events(true, list);
	CU_ASSERT_FATAL(after > before);
	NSDK_ASSERT_INT(list[before].type, NSDK_NVME_FDP_NOT_FULLY_WRITTEN);
	NSDK_ASSERT_INT(list[before].flags, NSDK_NVME_FDP_EVENT_PIV | NSDK_NVME_FDP_EVENT_NSIDV |
						    NSDK_NVME_FDP_EVENT_LV);
	NSDK_ASSERT_INT(list[before].pid, pids[0]);
	NSDK_ASSERT_INT(list[before].nsid, nsdk_nvme_ns_id(ns));
	NSDK_ASSERT_INT(list[before].rgid, 0);
	NSDK_ASSERT_INT(list[before].ruhid, status()[0].ruhid);
	NSDK_ASSERT_TEXT(nsdk_nvme_fdp_event_name(list[before].type), "Reclaim Unit Not Fully Written");
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, 0, types, 1, false, false, &cpl), 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, 0, types, 0, false, false, &cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(ns, 0, NULL, 0, &after, &cpl), -EINVAL);
}

/* Of the model: a unit that is full, and an identifier that nobody has. */
static void units_follow_one_another(void)
{
	static const uint8_t types[] = { NSDK_NVME_FDP_INVALID_PID, NSDK_NVME_FDP_IMPLICITLY_MODIFIED };
	struct nsdk_nvme_fdp_event list[NSDK_NVME_FDP_MAX_EVENTS];
	uint64_t full[MAX_PIDS], room[MAX_PIDS];
	struct nsdk_nvme_io_ext ext = say(pids[1]);
	unsigned host, controller;
	struct nsdk_nvme_cmd raw = nsdk_nvme_cmd_of(NSDK_NVME_NVM_WRITE);

	if (real_device)
		return;
	update_all();
	rooms(full);
	for (uint16_t handle = 0; handle < 2; handle++)
		NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, handle, types, 2, true, true, &cpl), 0);
	host = events(true, list);
	controller = events(false, list);
	/* All but one, then two: the second is in the next unit. */
	for (uint64_t done = 0; done < full[1] - 1; done++)
		NSDK_ASSERT_INT(RIG_RUN(put(5, 1, &ext)), 0);
	NSDK_ASSERT_INT(events(false, list), controller);
	NSDK_ASSERT_INT(RIG_RUN(put(5, 2, &ext)), 0);
	rooms(room);
	CU_ASSERT_EQUAL(room[1], full[1] - 1);
	NSDK_ASSERT_INT(events(false, list), controller + 1);
	NSDK_ASSERT_INT(list[controller].type, NSDK_NVME_FDP_IMPLICITLY_MODIFIED);
	NSDK_ASSERT_INT(list[controller].pid, pids[1]);
	/* Past the driver, as a raw command: it is written, and by the first handle. */
	raw.cdw12 = NSDK_NVME_RW_DTYPE(PLACEMENT) | NSDK_NVME_RW_PRACT;
	raw.cdw13 = 0xffffu << NSDK_NVME_RW_DSPEC_SHIFT;
	NSDK_ASSERT_INT(RIG_RUN(nsdk_nvme_io_passthru(ns, rig.qp, &raw, rig.arena, 4096, NSDK_DMA_TO_DEVICE,
						      rig_done_cb, &rig_once)), 0);
	rooms(room);
	CU_ASSERT_EQUAL(room[0], full[0] - 1);
	NSDK_ASSERT_INT(events(true, list), host + 1);
	NSDK_ASSERT_INT(list[host].type, NSDK_NVME_FDP_INVALID_PID);
	NSDK_ASSERT_INT(list[host].pid, 0xffff);
	for (uint16_t handle = 0; handle < 2; handle++)
		NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(ns, handle, types, 2, false, true, &cpl), 0);
}

/* Without namespaces it can be turned off, and on. */
static void is_turned_off(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_ns_delete(NSDK_NVME_NSID_ALL);
	struct nsdk_nvme_fdp_stats stats;
	uint8_t index;
	bool on = true;

	NSDK_ASSERT_INT(nsdk_nvme_fdp_set(rig.ctrlr, 1, false, 0, &cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&cpl));
	if (real_device)
		return;
	CU_ASSERT_EQUAL(cpl.status & 0xffe,
			NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_SEQUENCE_ERROR));
	NSDK_ASSERT_INT(nsdk_nvme_admin_sync(rig.ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set(rig.ctrlr, 1, false, 0, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(rig.ctrlr, 1, &on, &index, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && !on);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_stats(rig.ctrlr, 1, &stats, &cpl), 0);
	CU_ASSERT_EQUAL(cpl.status & 0xffe,
			NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_FDP_DISABLED));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set(rig.ctrlr, 1, true, 0, &cpl), 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(rig.ctrlr, 1, &on, &index, &cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&cpl) && on && index == 0);
}

static const struct setting {
	const char *device;
	enum nsdk_policy policy;
} settings[] = {
	{ "emu:nvme,fdp=1,fdp_runs=64K,namespaces=2,size=4M", NSDK_POLICY_COHERENT },
	{ "emu:nvme,lba=4096,fdp=1,fdp_rg=3,fdp_ruh=5,fdp_runs=256K,mdts=1,sgl=none,thread=1,size=4M",
	  NSDK_POLICY_COHERENT },
	/* More identifiers than one page has room for. */
	{ "emu:nvme,nosnoop=all,seed=51,fdp=1,fdp_rg=2,fdp_ruh=64,fdp_runs=64K,mdts=1,size=4M",
	  NSDK_POLICY_NOSNOOP },
	{ "emu:nvme,nosnoop=data,seed=52,fdp=1,fdp_ruh=2,fdp_runs=32K,mqes=8,size=4M", NSDK_POLICY_AUTO },
};

static void all_of_it(const char *device, enum nsdk_policy policy)
{
	rig_up(device, policy, real_device != NULL);
	ns = nsdk_nvme_ns_get(rig.ctrlr, nsdk_nvme_ns_next(rig.ctrlr, 0));
	CU_ASSERT_PTR_NOT_NULL_FATAL(ns);
	block = nsdk_nvme_ns_block_bytes(ns);
	is_not_known_before();
	is_in_the_configuration();
	is_a_directive();
	writes_go_where_they_say();
	other_commands_do_too();
	what_is_not_there_is_refused();
	a_short_status_is_told_so();
	events_are_logged();
	units_follow_one_another();
	is_turned_off();
	rig_down();
}

static void places_data(void)
{
	if (real_device) {
		all_of_it(real_device, NSDK_POLICY_COHERENT);
		return;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		all_of_it(settings[i].device, settings[i].policy);
}

static void places_data_past_the_caches(void)
{
	if (real_device)
		all_of_it(real_device, NSDK_POLICY_NOSNOOP);
}

/* Each namespace has its own numbers for the same handles. */
static void namespaces_share_handles(void)
{
	const struct nsdk_nvme_ruh_status *of;
	uint16_t first;

	if (real_device)
		return;
	rig_up(settings[0].device, settings[0].policy, false);
	for (uint32_t nsid = 1; nsid <= 2; nsid++) {
		ns = nsdk_nvme_ns_get(rig.ctrlr, nsid);
		block = nsdk_nvme_ns_block_bytes(ns);
		NSDK_ASSERT_INT(nsdk_nvme_placement_learn(ns, rig.qp, &cpl), 0);
		count = nsdk_nvme_ns_placements(ns, &pids);
		NSDK_ASSERT_INT(count, 4);
		of = status();
		first = of[0].ruhid;
		NSDK_ASSERT_INT(first, nsid - 1);
		NSDK_ASSERT_INT(of[3].ruhid, (nsid + 2) % 4);
	}
	rig_down();
}

static void is_not_everywhere(void)
{
	struct nsdk_nvme_io_ext ext = say(0);
	struct nsdk_nvme_directives directives;

	if (real_device)
		return;
	rig_up("emu:nvme,size=1M", NSDK_POLICY_COHERENT, false);
	ns = nsdk_nvme_ns_get(rig.ctrlr, 1);
	block = nsdk_nvme_ns_block_bytes(ns);
	NSDK_ASSERT_INT(nsdk_nvme_ns_endgid(ns), 0);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(ns, rig.qp, &cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status(ns, rig.qp, rig.arena, 4096, rig_done_cb, &rig_once),
			-EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(ns, rig.qp, (void *)rig.arena, 1, rig_done_cb, &rig_once),
			-EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_directives(ns, &directives, &cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(ns, PLACEMENT, true, &cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EOPNOTSUPP);
	rig_down();
}

static int choose_device(void)
{
	real_device = getenv("NSDK_FDP_DEVICE");
	return 0;
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(places_data),
	NSDK_UNIT_TEST(places_data_past_the_caches),
	NSDK_UNIT_TEST(namespaces_share_handles),
	NSDK_UNIT_TEST(is_not_everywhere),
};

NSDK_UNIT_MAIN("nvme placement", tests, .start = choose_device)
