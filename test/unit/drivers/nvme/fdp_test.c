/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flexible data placement of a controller that can be made to lie: log pages whose sizes and counts
 * contradict each other, the status of reclaim unit handles, and each command bit by bit.
 */
#include "fake_fdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

#define LOG(lid) fake_fdp.log[(lid)-NSDK_NVME_LOG_FDP_CONFIGS]

/* ---- Configurations ---- */

static struct nsdk_nvme_fdp_config *configs;
static unsigned count;

/* Two of them, of 3 and of 1 handle, behind each other. */
struct page {
	struct nsdk_nvme_fdp_configs_header header;
	struct nsdk_nvme_fdp_config_desc first;
	struct nsdk_nvme_fdp_ruh_desc first_ruhs[4];
	struct nsdk_nvme_fdp_config_desc second;
	struct nsdk_nvme_fdp_ruh_desc second_ruhs[2];
};

static struct page *page(void)
{
	return (struct page *)(void *)LOG(NSDK_NVME_LOG_FDP_CONFIGS);
}

static void say_configs(void)
{
	*page() = (struct page){
		.header = { .count = 1, .bytes = sizeof(struct page) },
		.first = { .bytes = 80, .fdpa = 0x92, .vss = 4, .nrg = 3, .nruh = 3, .maxpids = 8, .nnss = 5,
			   .runs = 1 << 20, .erutl = 77 },
		.first_ruhs = { { .type = 1 }, { .type = 1 }, { .type = 2 } },
		.second = { .bytes = 72, .nruh = 1 },
	};
	NSDK_ASSERT_INT(offsetof(struct page, second), 16 + 80);
}

static int ask(void)
{
	return nsdk_nvme_fdp_configs(fake_fdp_ctrlr, 9, &configs, &count, &fake_fdp_cpl);
}

static void configurations_are_taken_apart(void)
{
	fake_fdp_attach();
	say_configs();
	NSDK_ASSERT_INT(ask(), 0);
	NSDK_ASSERT_INT(count, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(configs);
	CU_ASSERT(configs[0].valid && configs[0].write_cache && configs[0].rgif == 2 &&
		  configs[0].attributes == 0x92 && configs[0].vss == 4);
	NSDK_ASSERT_INT(configs[0].groups, 3);
	NSDK_ASSERT_INT(configs[0].handles, 3);
	NSDK_ASSERT_INT(configs[0].max_pids, 9);
	NSDK_ASSERT_INT(configs[0].namespaces, 5);
	NSDK_ASSERT_INT(configs[0].unit_bytes, 1 << 20);
	NSDK_ASSERT_INT(configs[0].time_limit_s, 77);
	NSDK_ASSERT_INT(configs[0].ruhs[2].type, NSDK_NVME_RUH_PERSISTENTLY_ISOLATED);
	/* Of one that is not valid nothing else counts. */
	CU_ASSERT(!configs[1].valid && configs[1].handles == 1 && configs[1].unit_bytes == 0);
	free(configs);
	/* The head, then all of it, of that endurance group. */
	NSDK_ASSERT_INT(fake_fdp.admin_count, 2);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10 & 0xff, 0x20);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10 >> 16, 3);
	NSDK_ASSERT_INT(fake_fdp.admin[1].cdw10 >> 16, sizeof(struct page) / 4 - 1);
	NSDK_ASSERT_INT(fake_fdp.admin[1].cdw11 >> 16, 9);
}

static void is_a_lie(const char *what)
{
	configs = (void *)&count;
	count = 99;
	NSDK_ASSERT_INT(ask(), -EIO);
	NSDK_ASSERT_ONE_SENTENCE(what);
	CU_ASSERT(configs == NULL && count == 0);
	say_configs();
}

static void configurations_that_cannot_be(void)
{
	fake_fdp_attach();
	say_configs();
	page()->header.bytes = 16;
	is_a_lie("log page 20h of endurance group 9 has a size that its configurations cannot have");
	page()->header.count = 0xffff;
	is_a_lie("a size that its configurations cannot have");
	page()->header.bytes = (1 << 20) + 4;
	is_a_lie("a size that its configurations cannot have");
	page()->header.bytes = UINT32_MAX;
	is_a_lie("a size that its configurations cannot have");
	/* The first has all of the page, or more; the second is cut off. */
	page()->first.bytes = sizeof(struct page) - 16;
	is_a_lie("configurations beyond its end");
	page()->first.bytes = 0xfff8;
	is_a_lie("configurations beyond its end");
	page()->header.bytes -= 8;
	is_a_lie("configurations beyond its end");
	page()->header.bytes -= 16;
	is_a_lie("configurations beyond its end");
	page()->first.bytes = 0;
	is_a_lie("too small for its handles");
	page()->first.nruh = 5;
	is_a_lie("too small for its handles");
	page()->first.nruh = 0xffff;
	is_a_lie("too small for its handles");
	page()->first.vss = 8;
	is_a_lie("too small for its handles");
	page()->first.bytes = 84;
	is_a_lie("too small for its handles");
	page()->first.nruh = 0;
	is_a_lie("without handles, groups or units");
	page()->first.nrg = 0;
	is_a_lie("without handles, groups or units");
	page()->first.runs = 0;
	is_a_lie("without handles, groups or units");
	page()->first.nrg = 5;
	is_a_lie("more reclaim groups than its placement identifiers can name");
	page()->first.nrg = UINT32_MAX;
	is_a_lie("more reclaim groups than its placement identifiers can name");
	page()->first.fdpa = 0x80;
	is_a_lie("more reclaim groups than its placement identifiers can name");
	/* One group needs no bits. */
	page()->first.fdpa = 0x80;
	page()->first.nrg = 1;
	NSDK_ASSERT_INT(ask(), 0);
	free(configs);
}

/* The head says something else the second time: as far as was read, and no further. */
static void a_page_that_changes_meanwhile(void)
{
	struct nsdk_nvme_fdp_configs_header other = { .count = 7, .bytes = 4000 };

	fake_fdp_attach();
	say_configs();
	fake_fdp.change_at = 2;
	fake_fdp.change_bytes = 8;
	memcpy(fake_fdp.change, &other, 8);
	NSDK_ASSERT_INT(ask(), 0);
	NSDK_ASSERT_INT(count, 2);
	free(configs);
}

static void an_error_is_the_answer(void)
{
	uint8_t *usage = (void *)&count;

	fake_fdp_attach();
	say_configs();
	for (unsigned n = 1; n <= 2; n++) {
		fake_fdp.admin_count = 0;
		fake_fdp.fail_at = n;
		configs = (void *)&count;
		NSDK_ASSERT_INT(ask(), 0);
		CU_ASSERT(!nsdk_nvme_cpl_ok(&fake_fdp_cpl) && configs == NULL && count == 0);
		fake_fdp.admin_count = 0;
		((struct nsdk_nvme_fdp_usage_header *)(void *)LOG(NSDK_NVME_LOG_FDP_USAGE))->nruh = 2;
		NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(fake_fdp_ctrlr, 1, &usage, &count, &fake_fdp_cpl), 0);
		CU_ASSERT(!nsdk_nvme_cpl_ok(&fake_fdp_cpl) && usage == NULL && count == 0);
	}
}

static void no_memory_is_said_so(void)
{
	fake_fdp_attach();
	say_configs();
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int err = ask();

		CU_ASSERT(nsdk_unit_failed() ? err < 0 && configs == NULL : err == 0);
		free(configs);
	}
}

/* ---- The other pages ---- */

static void usage_is_taken_apart(void)
{
	struct nsdk_nvme_fdp_usage_header header = { .nruh = 3 };
	uint8_t *log = LOG(NSDK_NVME_LOG_FDP_USAGE), *usage;

	fake_fdp_attach();
	memcpy(log, &header, sizeof(header));
	log[8] = 1;
	log[16] = 0;
	log[24] = 2;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(fake_fdp_ctrlr, 1, &usage, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(usage);
	CU_ASSERT(usage[0] == 1 && usage[1] == 0 && usage[2] == 2);
	free(usage);
	NSDK_ASSERT_INT(fake_fdp.admin[1].cdw10 >> 16, 32 / 4 - 1);
	log[16] = 3;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(fake_fdp_ctrlr, 1, &usage, &count, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("log page 21h of endurance group 1 has a reclaim unit handle that is used for");
	CU_ASSERT(usage == NULL && count == 0);
	memset(log, 0, 8);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_usage(fake_fdp_ctrlr, 1, &usage, &count, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("no reclaim unit handles");
	CU_ASSERT(usage == NULL && count == 0);
}

static void statistics_are_as_they_are(void)
{
	struct nsdk_nvme_fdp_stats stats = { .hbmw = { 1, 2 }, .mbmw = { 3 }, .mbe = { 4 } }, out;

	fake_fdp_attach();
	memcpy(LOG(NSDK_NVME_LOG_FDP_STATS), &stats, sizeof(stats));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_stats(fake_fdp_ctrlr, 3, &out, &fake_fdp_cpl), 0);
	CU_ASSERT(memcmp(&stats, &out, sizeof(out)) == 0);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10, 15 << 16 | 0x22);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw11, 3 << 16);
}

/* What was in the driver's memory before is nothing that the device has said. */
static void what_it_does_not_say_is_zero(void)
{
	struct nsdk_nvme_fdp_stats stats, out, none = { 0 };

	fake_fdp_attach();
	memset(&stats, 0x77, sizeof(stats));
	memcpy(LOG(NSDK_NVME_LOG_FDP_STATS), &stats, sizeof(stats));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_stats(fake_fdp_ctrlr, 3, &out, &fake_fdp_cpl), 0);
	CU_ASSERT(memcmp(&stats, &out, sizeof(out)) == 0);
	fake_fdp.silent = true;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_stats(fake_fdp_ctrlr, 3, &out, &fake_fdp_cpl), 0);
	CU_ASSERT(memcmp(&none, &out, sizeof(out)) == 0);
}

static void events_are_as_many_as_it_says(void)
{
	struct nsdk_nvme_fdp_events_header header = { .count = 2 };
	struct nsdk_nvme_fdp_event out[NSDK_NVME_FDP_MAX_EVENTS];
	struct nsdk_nvme_fdp_event event = { .type = 0x81, .pid = 5, .nsid = 1, .rgid = 3, .ruhid = 4 };
	uint8_t *log = LOG(NSDK_NVME_LOG_FDP_EVENTS);

	fake_fdp_attach();
	memcpy(log, &header, sizeof(header));
	memcpy(log + 128, &event, sizeof(event));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, false, out, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 2);
	CU_ASSERT(memcmp(&out[1], &event, sizeof(event)) == 0);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10 & 0x7fff, 0x23);
	NSDK_ASSERT_INT(fake_fdp.admin[1].cdw10 >> 16, 192 / 4 - 1);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[2].cdw10 & 0x7fff, 0x123);
	NSDK_ASSERT_INT(fake_fdp.admin[3].cdw10 & 0x7fff, 0x123);
	fake_fdp.fail_at = 6;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&fake_fdp_cpl) && count == 0);
	fake_fdp.fail_at = 0;
	header.count = 63;
	memcpy(log, &header, sizeof(header));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 63);
	header.count = 64;
	memcpy(log, &header, sizeof(header));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("log page 23h of endurance group 1 has more events than it has room for");
	NSDK_ASSERT_INT(count, 0);
	header.count = 0;
	memcpy(log, &header, sizeof(header));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 0);
}

/* Somebody else may clear them between the head and the rest. */
static void events_may_become_fewer(void)
{
	struct nsdk_nvme_fdp_events_header header = { .count = 3 };
	struct nsdk_nvme_fdp_event out[NSDK_NVME_FDP_MAX_EVENTS];

	fake_fdp_attach();
	for (uint32_t now = 0; now < 5; now++) {
		header.count = 3;
		memcpy(LOG(NSDK_NVME_LOG_FDP_EVENTS), &header, sizeof(header));
		fake_fdp.admin_count = 0;
		fake_fdp.change_at = 2;
		fake_fdp.change_bytes = sizeof(now);
		memcpy(fake_fdp.change, &now, sizeof(now));
		NSDK_ASSERT_INT(nsdk_nvme_fdp_events(fake_fdp_ctrlr, 1, true, out, &count, &fake_fdp_cpl), 0);
		NSDK_ASSERT_INT(count, now < 3 ? now : 3);
	}
}

static void events_have_names(void)
{
	static const uint8_t types[] = { 0, 1, 2, 3, 0x80, 0x81 };

	for (unsigned i = 0; i < sizeof(types); i++)
		CU_ASSERT(strcmp(nsdk_nvme_fdp_event_name(types[i]), "Unknown") != 0);
	NSDK_ASSERT_TEXT(nsdk_nvme_fdp_event_name(0x80), "Media Reallocated");
	NSDK_ASSERT_TEXT(nsdk_nvme_fdp_event_name(4), "Unknown");
}

/* ---- Features ---- */

static void features_are_got_and_set(void)
{
	uint8_t index = 0;
	bool on = false;

	fake_fdp_attach();
	fake_fdp.dw0 = 0x201;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(fake_fdp_ctrlr, 4, &on, &index, &fake_fdp_cpl), 0);
	CU_ASSERT(on && index == 2);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10, 0x1d);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw11, 4);
	fake_fdp.dw0 = 0x200;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(fake_fdp_ctrlr, 4, &on, &index, &fake_fdp_cpl), 0);
	CU_ASSERT(!on && index == 0);
	fake_fdp.dw0 = 1;
	fake_fdp.fail_at = 3;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get(fake_fdp_ctrlr, 4, &on, &index, &fake_fdp_cpl), 0);
	CU_ASSERT(!on && !nsdk_nvme_cpl_ok(&fake_fdp_cpl));
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set(fake_fdp_ctrlr, 4, true, 3, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[3].cdw10, 0x8000001d);
	NSDK_ASSERT_INT(fake_fdp.admin[3].cdw11, 4);
	NSDK_ASSERT_INT(fake_fdp.admin[3].cdw12, 0x301);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set(fake_fdp_ctrlr, 4, false, 0, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[4].cdw12, 0);
}

static void events_are_got_and_set(void)
{
	static const uint8_t types[] = { 0, 3, 0x81 };
	struct nsdk_nvme_fdp_event_state states[8];

	fake_fdp_attach();
	fake_fdp.states[0] = (struct nsdk_nvme_fdp_event_state){ .type = 0, .enabled = 1 };
	fake_fdp.states[1] = (struct nsdk_nvme_fdp_event_state){ .type = 0x81 };
	fake_fdp.dw0 = 2;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 8, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 2);
	CU_ASSERT(states[0].enabled == 1 && states[1].type == 0x81);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10, 0x1e);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw11, 8 << 16 | 6);
	NSDK_ASSERT_INT(fake_fdp.admin[0].nsid, 1);
	/* More than there is room for; and more than is there. */
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 1, &count, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(count, 1);
	fake_fdp.dw0 = 3;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 8, &count, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("placement handle 6 of namespace 1 has event type 00h twice");
	NSDK_ASSERT_INT(count, 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 0, &count, &fake_fdp_cpl), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 256, &count, &fake_fdp_cpl),
			-EINVAL);
	fake_fdp.fail_at = 4;
	NSDK_ASSERT_INT(nsdk_nvme_fdp_get_events(fake_fdp_ns, 6, states, 8, &count, &fake_fdp_cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&fake_fdp_cpl) && count == 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(fake_fdp_ns, 6, types, 3, true, true, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[4].cdw10, 0x8000001e);
	NSDK_ASSERT_INT(fake_fdp.admin[4].cdw11, 3 << 16 | 6);
	NSDK_ASSERT_INT(fake_fdp.admin[4].cdw12, 1);
	CU_ASSERT(memcmp(fake_fdp.sent, types, sizeof(types)) == 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(fake_fdp_ns, 6, types, 1, false, false, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[5].cdw10, 0x1e);
	NSDK_ASSERT_INT(fake_fdp.admin[5].cdw12, 0);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(fake_fdp_ns, 6, types, 0, true, false, &fake_fdp_cpl),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_fdp_set_events(fake_fdp_ns, 6, types, 256, true, false, &fake_fdp_cpl),
			-EINVAL);
}

/* ---- Reclaim unit handles ---- */

static int status(void *buf, size_t bytes)
{
	return nsdk_nvme_ruh_status(fake_fdp_ns, fake_fdp_qp, buf, bytes, fake_done_cb, &fake_fdp_done);
}

static void status_is_asked_for(void)
{
	static const uint16_t pids[] = { 4, 2 };
	uint8_t *buf = fake_buffer(0, 64);
	const struct nsdk_nvme_ruh_status *descs = (const void *)(buf + 16);
	uint8_t odd[84] __attribute__((aligned(8)));

	fake_fdp_attach();
	fake_fdp_say_pids(pids, 2);
	NSDK_ASSERT_INT(status(buf, 80), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].opcode, 0x12);
	NSDK_ASSERT_INT(fake_fdp.io[0].nsid, 1);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw10, 1);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw11, 80 / 4 - 1);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(fake_fdp_ns, buf, 80, &count), 0);
	NSDK_ASSERT_INT(count, 2);
	CU_ASSERT(descs[1].pid == 2 && descs[1].ruhid == 1 && descs[1].ruamw == 101);
	/* One is not all. */
	/* Wherever it lies. */
	memcpy(odd + 4, buf, 80);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(fake_fdp_ns, odd + 4, 80, &count), 0);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(fake_fdp_ns, buf, 79, &count), -ENOSPC);
	NSDK_ASSERT_INT(count, 2);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(fake_fdp_ns, buf, 16, &count), -ENOSPC);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status_take(fake_fdp_ns, buf, 15, &count), -EINVAL);
	NSDK_ASSERT_INT(status(buf, 0), -EINVAL);
	NSDK_ASSERT_INT(status(buf, 12), -EINVAL);
	NSDK_ASSERT_INT(status(buf, 82), -EINVAL);
	NSDK_ASSERT_INT(status(buf + 2, 80), -EINVAL);
	NSDK_ASSERT_INT(status(buf, nsdk_nvme_ctrlr_max_transfer_bytes(fake_fdp_ctrlr) + 4), -EINVAL);
	NSDK_ASSERT_INT(status(&fake_fdp, 64), -EFAULT);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_status(fake_fdp_ns, fake_fdp_qp, buf, 80, NULL, NULL), -EINVAL);
	NSDK_ASSERT_INT(fake_fdp.io_count, 1);
}

static void status_that_cannot_be(void)
{
	static const uint16_t twice[] = { 1, 2, 1 };
	const uint16_t *pids;

	fake_fdp_attach();
	fake_fdp_say_pids(twice, 0);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("handles of namespace 1 has no placement identifiers");
	fake_fdp_say_pids(twice, 3);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("a placement identifier twice");
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &pids), 0);
}

/* What was in that memory before is not taken for the answer. */
static void status_that_never_came(void)
{
	static const uint16_t some[] = { 1, 2 };

	fake_fdp_attach();
	fake_fdp_learn(some, 2);
	fake_fdp.silent = true;
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("handles of namespace 1 has no placement identifiers");
}

/* More than fit at first: once more, with the room that it takes. */
static void many_are_asked_for_twice(void)
{
	uint16_t many[200];
	const uint16_t *pids;

	for (unsigned i = 0; i < 200; i++)
		many[i] = (uint16_t)(i * 3);
	fake_fdp_attach();
	fake_fdp_say_pids(many, 200);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.io_count, 2);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw11, 1023);
	NSDK_ASSERT_INT(fake_fdp.io[1].cdw11, (16 + 200 * 32) / 4 - 1);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &pids), 200);
	NSDK_ASSERT_INT(pids[199], 597);
}

static void too_many_are_said_so(void)
{
	struct nsdk_nvme_ruh_status_header header = { .count = 0xffff };

	fake_fdp_attach();
	memcpy(fake_fdp.status, &header, sizeof(header));
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -ENOTSUP);
	NSDK_ASSERT_ONE_SENTENCE("the 65535 placement identifiers of namespace 1 are more than one command");
}

static void an_error_of_the_status_is_the_answer(void)
{
	const uint16_t *pids;

	fake_fdp_attach();
	fake_fdp.io_status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_FDP_DISABLED);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp_cpl.status & 0xffe, NSDK_NVME_STATUS(0, NSDK_NVME_SC_FDP_DISABLED));
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &pids), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

/* A queue pair that is full is polled until it is not. */
static void is_learned_beside_other_io(void)
{
	static const uint16_t some[] = { 0, 1 };
	int reads = 0;

	fake_fdp_attach();
	fake_fdp_say_pids(some, 2);
	while (nsdk_nvme_read(fake_fdp_ns, fake_fdp_qp, fake_buffer(0, 0), 0, 1, 0, fake_done_cb,
			      &fake_fdp_done) == 0)
		reads++;
	CU_ASSERT(reads > 1);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp_done.count, reads);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &(const uint16_t *){ NULL }), 2);
}

static void learn_inside(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	(void)ctx;
	fake_done_cb(&fake_fdp_done, cpl);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EDEADLK);
}

static void is_not_waited_for_inside_a_callback(void)
{
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_read(fake_fdp_ns, fake_fdp_qp, fake_buffer(0, 0), 0, 1, 0, learn_inside,
				       NULL), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
}

static void learning_needs_memory(void)
{
	static const uint16_t some[] = { 0, 1 };

	fake_fdp_attach();
	fake_fdp_say_pids(some, 2);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int err = nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl);

		CU_ASSERT(nsdk_unit_failed() ? err < 0 : err == 0);
	}
}

static void units_are_changed(void)
{
	static const _Alignas(4) uint16_t some[] = { 5, 6, 7 };
	uint16_t *pids = (void *)fake_buffer(0, 4096 - 8);

	fake_fdp_attach();
	pids[0] = 7;
	pids[1] = 5;
	pids[2] = 7;
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 1, fake_done_cb, &fake_fdp_done),
			-EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("is not known yet");
	fake_fdp_learn(some, 3);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 3, fake_done_cb, &fake_fdp_done),
			0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].opcode, 0x1d);
	NSDK_ASSERT_INT(fake_fdp.io[0].nsid, 1);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw10, 2 << 16 | 1);
	CU_ASSERT(memcmp(fake_fdp.sent, pids, 6) == 0);
	pids[2] = 4;
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 3, fake_done_cb, &fake_fdp_done),
			-EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("has no placement identifier 4");
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 0, fake_done_cb, &fake_fdp_done),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 65537, fake_done_cb,
					     &fake_fdp_done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids + 1, 1, fake_done_cb,
					     &fake_fdp_done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, some, 1, fake_done_cb, &fake_fdp_done),
			-EFAULT);
	NSDK_ASSERT_INT(nsdk_nvme_ruh_update(fake_fdp_ns, fake_fdp_qp, pids, 1, NULL, NULL), -EINVAL);
	NSDK_ASSERT_INT(fake_fdp.io_count, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(configurations_are_taken_apart),
	NSDK_UNIT_TEST(configurations_that_cannot_be),
	NSDK_UNIT_TEST(a_page_that_changes_meanwhile),
	NSDK_UNIT_TEST(an_error_is_the_answer),
	NSDK_UNIT_TEST(no_memory_is_said_so),
	NSDK_UNIT_TEST(usage_is_taken_apart),
	NSDK_UNIT_TEST(statistics_are_as_they_are),
	NSDK_UNIT_TEST(what_it_does_not_say_is_zero),
	NSDK_UNIT_TEST(events_are_as_many_as_it_says),
	NSDK_UNIT_TEST(events_may_become_fewer),
	NSDK_UNIT_TEST(events_have_names),
	NSDK_UNIT_TEST(features_are_got_and_set),
	NSDK_UNIT_TEST(events_are_got_and_set),
	NSDK_UNIT_TEST(status_is_asked_for),
	NSDK_UNIT_TEST(status_that_cannot_be),
	NSDK_UNIT_TEST(status_that_never_came),
	NSDK_UNIT_TEST(many_are_asked_for_twice),
	NSDK_UNIT_TEST(too_many_are_said_so),
	NSDK_UNIT_TEST(an_error_of_the_status_is_the_answer),
	NSDK_UNIT_TEST(is_learned_beside_other_io),
	NSDK_UNIT_TEST(is_not_waited_for_inside_a_callback),
	NSDK_UNIT_TEST(learning_needs_memory),
	NSDK_UNIT_TEST(units_are_changed),
};

NSDK_UNIT_MAIN("drivers/nvme/fdp", tests, .before = fake_fdp_before, .after = fake_fdp_after)
