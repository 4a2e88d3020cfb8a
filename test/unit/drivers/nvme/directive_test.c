/* SPDX-License-Identifier: BSD-3-Clause */
/* Directives: what is asked and believed of them, and what commands that write say of one. */
#include "fake_fdp.h"

#include <errno.h>
#include <string.h>

#include "drivers/nvme/fdp.h"

#define DTYPE(cmd) ((cmd).cdw12 >> 20 & 0xf)
#define DSPEC(cmd) ((cmd).cdw13 >> 16)

static const uint16_t some[] = { 0x8001, 0, 7, 0x8000, 1 };
#define SOME (sizeof(some) / sizeof(some[0]))

static struct nsdk_nvme_io_ext say(uint8_t type, uint16_t spec)
{
	return (struct nsdk_nvme_io_ext){
		.ext_bytes = sizeof(struct nsdk_nvme_io_ext),
		.dtype = type,
		.dspec = spec,
	};
}

static int put(uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext)
{
	static struct iovec iov; /* until the callback */

	iov = (struct iovec){ fake_buffer(0, 0), (size_t)blocks * 512 };
	return nsdk_nvme_writev_ext(fake_fdp_ns, fake_fdp_qp, &iov, 1, lba, blocks, ext, fake_done_cb,
				    &fake_fdp_done);
}

/* ---- Which there are ---- */

static void are_asked_for(void)
{
	struct nsdk_nvme_directives out;

	fake_fdp.directives.supported[0] = 0x05;
	fake_fdp.directives.enabled[0] = 0x01;
	fake_fdp.directives.supported[31] = 0x80;
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_directives(fake_fdp_ns, &out, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[0].opcode, 0x1a);
	NSDK_ASSERT_INT(fake_fdp.admin[0].nsid, 1);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10, 1023);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw11, 0x0001);
	CU_ASSERT(nsdk_nvme_directive_in(out.supported, 0) && !nsdk_nvme_directive_in(out.supported, 1) &&
		  nsdk_nvme_directive_in(out.supported, 2) && nsdk_nvme_directive_in(out.supported, 255));
	CU_ASSERT(!nsdk_nvme_directive_in(out.enabled, 2));
	fake_fdp.fail_at = 2;
	NSDK_ASSERT_INT(nsdk_nvme_directives(fake_fdp_ns, &out, &fake_fdp_cpl), 0);
	CU_ASSERT(!nsdk_nvme_cpl_ok(&fake_fdp_cpl));
}

static void on_and_unknown_is_a_lie(void)
{
	struct nsdk_nvme_directives out;

	fake_fdp.directives.supported[0] = 0x01;
	fake_fdp.directives.enabled[0] = 0x05;
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_directives(fake_fdp_ns, &out, &fake_fdp_cpl), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("directive type 02h on, and does not know it");
}

static void are_turned_on_and_off(void)
{
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(fake_fdp_ns, 1, true, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[0].opcode, 0x19);
	NSDK_ASSERT_INT(fake_fdp.admin[0].nsid, 1);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw10, 0);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw11, 0x0001);
	NSDK_ASSERT_INT(fake_fdp.admin[0].cdw12, 0x0101);
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(fake_fdp_ns, 2, false, &fake_fdp_cpl), 0);
	NSDK_ASSERT_INT(fake_fdp.admin[1].cdw12, 0x0200);
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(fake_fdp_ns, 0, true, &fake_fdp_cpl), -EINVAL);
	NSDK_ASSERT_INT(fake_fdp.admin_count, 2);
}

static void are_not_everywhere(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_STREAMS, 1);
	struct nsdk_nvme_directives out;

	fake.id.oacs &= (uint16_t)~NSDK_NVME_OACS_DIRECTIVES;
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_directives(fake_fdp_ns, &out, &fake_fdp_cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_directive_enable(fake_fdp_ns, 1, true, &fake_fdp_cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EOPNOTSUPP);
	ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 0);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EOPNOTSUPP);
	NSDK_ASSERT_INT(fake_fdp.admin_count + fake_fdp.io_count, 0);
}

static void commands_are_as_specified(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_directive_receive(3, 1, 2, 0x1234, 64, 9);

	NSDK_ASSERT_INT(cmd.opcode, 0x1a);
	NSDK_ASSERT_INT(cmd.nsid, 3);
	NSDK_ASSERT_INT(cmd.cdw10, 15);
	NSDK_ASSERT_INT(cmd.cdw11, 0x12340102);
	NSDK_ASSERT_INT(cmd.cdw12, 9);
	cmd = nsdk_nvme_cmd_directive_send(3, 1, 2, 0x1234, 0, 9);
	NSDK_ASSERT_INT(cmd.opcode, 0x19);
	NSDK_ASSERT_INT(cmd.cdw10, 0);
}

/* ---- Commands ---- */

static void writes_say_it(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 0x8001);
	unsigned blocks;

	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	ext.dsm = NSDK_NVME_RW_DSM_SEQUENTIAL;
	ext.flags = NSDK_NVME_RW_FUA;
	NSDK_ASSERT_INT(put(5, 3, &ext), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].opcode, NSDK_NVME_NVM_WRITE);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw12, NSDK_NVME_RW_FUA | 2u << 20 | 2);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw13, 0x8001u << 16 | NSDK_NVME_RW_DSM_SEQUENTIAL);
	/* A stream is whatever the controller takes it for. */
	ext = say(NSDK_NVME_DIRECTIVE_STREAMS, 0xfffe);
	NSDK_ASSERT_INT(put(5, 1, &ext), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(DTYPE(fake_fdp.io[1]), 1);
	NSDK_ASSERT_INT(DSPEC(fake_fdp.io[1]), 0xfffe);
	/* Each command that a large one goes out as. */
	fake_fdp.io_count = 0;
	ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 7);
	blocks = (unsigned)(nsdk_nvme_ctrlr_max_transfer_bytes(fake_fdp_ctrlr) / 512) * 2 + 1;
	NSDK_ASSERT_INT(put(5, blocks, &ext), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	CU_ASSERT_FATAL(fake_fdp.io_count >= 3);
	for (unsigned i = 0; i < fake_fdp.io_count; i++) {
		NSDK_ASSERT_INT(DTYPE(fake_fdp.io[i]), 2);
		NSDK_ASSERT_INT(DSPEC(fake_fdp.io[i]), 7);
	}
	/* Behind it, a write that says nothing says nothing. */
	fake_fdp.io_count = 0;
	NSDK_ASSERT_INT(nsdk_nvme_write(fake_fdp_ns, fake_fdp_qp, fake_buffer(0, 0), 9, 1, 0, fake_done_cb,
					&fake_fdp_done), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw12, 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw13, 0);
}

static void others_that_write_do_too(void)
{
	struct nsdk_nvme_copy_range *range = (void *)fake_buffer(0, 0);
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 1);

	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	ext.flags = NSDK_NVME_WZ_DEALLOCATE;
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes_ext(fake_fdp_ns, fake_fdp_qp, 4, 8, &ext, fake_done_cb,
						   &fake_fdp_done), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[0].opcode, NSDK_NVME_NVM_WRITE_ZEROES);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw12, NSDK_NVME_WZ_DEALLOCATE | 2u << 20 | 7);
	NSDK_ASSERT_INT(fake_fdp.io[0].cdw13, 1u << 16);
	ext.flags = 0;
	memset(range, 0, sizeof(*range));
	NSDK_ASSERT_INT(nsdk_nvme_copy_ext(fake_fdp_ns, fake_fdp_qp, range, 1, 90, &ext, fake_done_cb,
					   &fake_fdp_done), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[1].opcode, NSDK_NVME_NVM_COPY);
	NSDK_ASSERT_INT(fake_fdp.io[1].cdw12, 2u << 20);
	NSDK_ASSERT_INT(fake_fdp.io[1].cdw13, 1u << 16);
	/* Without a directive they are what they are. */
	ext = say(0, 0);
	NSDK_ASSERT_INT(nsdk_nvme_write_zeroes_ext(fake_fdp_ns, fake_fdp_qp, 4, 8, &ext, fake_done_cb,
						   &fake_fdp_done), 0);
	NSDK_ASSERT_INT(fake_fdp_run(), 0);
	NSDK_ASSERT_INT(fake_fdp.io[2].cdw12, 7);
	NSDK_ASSERT_INT(fake_fdp.io[2].cdw13, 0);
}

static int zero(const struct nsdk_nvme_io_ext *ext)
{
	return nsdk_nvme_write_zeroes_ext(fake_fdp_ns, fake_fdp_qp, 4, 8, ext, fake_done_cb, &fake_fdp_done);
}

static void those_take_nothing_else(void)
{
	struct nsdk_nvme_io_ext ext;

	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	for (unsigned i = 0; i < 7; i++) {
		ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 1);
		switch (i) {
		case 0:
			ext.ext_bytes++;
			break;
		case 1:
			ext.dsm = 1;
			break;
		case 2:
			ext.own_ref_tag = true;
			break;
		case 3:
			ext.app_tag = 1;
			break;
		case 4:
			ext.app_mask = 1;
			break;
		case 5:
			ext.metadata = fake_buffer(0, 0);
			break;
		default:
			ext.ref_tag = 1;
			break;
		}
		NSDK_ASSERT_INT(zero(&ext), -EINVAL);
	}
	ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 1);
	ext.flags = 1;
	NSDK_ASSERT_INT(zero(&ext), -EINVAL);
	NSDK_ASSERT_INT(fake_fdp.io_count, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void what_reads_does_not(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 1);
	struct iovec iov = { fake_buffer(0, 0), 512 };

	fake.id.oncs |= NSDK_NVME_ONCS_COMPARE;
	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	NSDK_ASSERT_INT(nsdk_nvme_readv_ext(fake_fdp_ns, fake_fdp_qp, &iov, 1, 0, 1, &ext, fake_done_cb,
					    &fake_fdp_done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_comparev_ext(fake_fdp_ns, fake_fdp_qp, &iov, 1, 0, 1, &ext, fake_done_cb,
					       &fake_fdp_done), -EINVAL);
	/* No such types; and none has nothing to say. */
	ext = say(3, 1);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	ext = say(0x12, 1);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	ext = say(0, 1);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_INT(fake_fdp.io_count, 0);
}

/* ---- Placement identifiers ---- */

static void identifiers_are_checked(void)
{
	static const uint16_t absent[] = { 2, 6, 8, 0x7fff, 0x8002, 0xffff };
	struct nsdk_nvme_io_ext ext;
	const uint16_t *pids;

	fake_fdp_attach();
	ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 0);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &pids), 0);
	CU_ASSERT_PTR_NULL(pids);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("ask it by nsdk_nvme_placement_learn()");
	fake_fdp_learn(some, SOME);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &pids), SOME);
	CU_ASSERT(pids[0] == 0 && pids[1] == 1 && pids[2] == 7 && pids[3] == 0x8000 && pids[4] == 0x8001);
	for (unsigned i = 0; i < SOME; i++) {
		ext.dspec = some[i];
		NSDK_ASSERT_INT(put(0, 1, &ext), 0);
		NSDK_ASSERT_INT(fake_fdp_run(), 0);
	}
	fake_fdp.io_count = 0;
	for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		ext.dspec = absent[i];
		NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
		NSDK_ASSERT_ONE_SENTENCE("use one of the 5 that it has: 0, 1, 7, 32768, 32769");
	}
	NSDK_ASSERT_INT(fake_fdp.io_count, 0);
}

static void a_long_list_is_named_in_part(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 65535);
	uint16_t many[100];

	for (unsigned i = 0; i < 100; i++)
		many[i] = (uint16_t)(65534 - i);
	fake_fdp_attach();
	fake_fdp_learn(many, 100);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("the 100 that it has: 65435, 65436, 65437, 65438, 65439, 65440, 65441, 65442, …");
}

/* A writer may hold the list that was. */
static void an_old_list_stays_until_detach(void)
{
	static const uint16_t others[] = { 3, 4 };
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 7);
	const uint16_t *before, *same, *now;

	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	nsdk_nvme_ns_placements(fake_fdp_ns, &before);
	fake_fdp_learn(some, SOME);
	nsdk_nvme_ns_placements(fake_fdp_ns, &same);
	CU_ASSERT_PTR_EQUAL(same, before);
	fake_fdp_learn(others, 2);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &now), 2);
	CU_ASSERT(before[2] == 7 && now[0] == 3);
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("has no placement identifier 7");
	/* One that has gone and come back is another one. */
	nsdk_nvme_placement_forget(fake_fdp_ns);
	NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &same), 0);
	ext.dspec = 3;
	NSDK_ASSERT_INT(put(0, 1, &ext), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("is not known yet");
	CU_ASSERT(before[2] == 7 && now[0] == 3);
}

/* What has been known once is not kept twice. */
static void lists_do_not_pile_up(void)
{
	static const uint16_t others[] = { 3, 4 };
	const uint16_t *first, *second, *now;

	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	nsdk_nvme_ns_placements(fake_fdp_ns, &first);
	fake_fdp_learn(others, 2);
	nsdk_nvme_ns_placements(fake_fdp_ns, &second);
	for (unsigned i = 0; i < 10; i++) {
		nsdk_nvme_placement_forget(fake_fdp_ns);
		fake_fdp_learn(some, SOME);
		NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &now), SOME);
		CU_ASSERT_PTR_EQUAL(now, first);
		fake_fdp_learn(others, 2);
		NSDK_ASSERT_INT(nsdk_nvme_ns_placements(fake_fdp_ns, &now), 2);
		CU_ASSERT_PTR_EQUAL(now, second);
	}
}

static void is_over(void *ctx)
{
	*(bool *)ctx = true;
}

/* Looks at the namespaces again. @return how many placement identifiers are known then. */
static unsigned known_after_a_look(void)
{
	bool over = false;
	struct nvme_rescan_wait wait = { .done = is_over, .ctx = &over };

	nsdk_nvme_rescan(fake_fdp_ctrlr, false, &wait);
	for (int i = 0; i < 1000 && !over; i++)
		nsdk_nvme_ctrlr_poll(fake_fdp_ctrlr);
	CU_ASSERT_FATAL(over);
	return nsdk_nvme_ns_placements(fake_fdp_ns, &(const uint16_t *){ NULL });
}

/* Deleted and created between two looks: nobody has seen it go. */
static void another_namespace_has_others(void)
{
	fake_fdp_attach();
	fake_fdp_learn(some, SOME);
	NSDK_ASSERT_INT(known_after_a_look(), SOME);
	fake_fdp.endgid = 2;
	NSDK_ASSERT_INT(known_after_a_look(), 0);
	fake_fdp_learn(some, SOME);
	NSDK_ASSERT_INT(known_after_a_look(), SOME);
	fake_fdp.nguid = 2;
	NSDK_ASSERT_INT(known_after_a_look(), 0);
	fake_fdp_learn(some, SOME);
	fake_fdp.eui64 = 2;
	NSDK_ASSERT_INT(known_after_a_look(), 0);
}

static void are_only_where_there_is_placement(void)
{
	struct nsdk_nvme_io_ext ext = say(NSDK_NVME_DIRECTIVE_PLACEMENT, 0);

	fake.id.ctratt &= ~NSDK_NVME_CTRATT_FDP;
	fake_fdp_attach();
	NSDK_ASSERT_INT(put(0, 1, &ext), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void are_of_an_endurance_group(void)
{
	fake_fdp.endgid = 0;
	fake_fdp_attach();
	NSDK_ASSERT_INT(nsdk_nvme_ns_endgid(fake_fdp_ns), 0);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), -EOPNOTSUPP);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(are_asked_for),
	NSDK_UNIT_TEST(on_and_unknown_is_a_lie),
	NSDK_UNIT_TEST(are_turned_on_and_off),
	NSDK_UNIT_TEST(are_not_everywhere),
	NSDK_UNIT_TEST(commands_are_as_specified),
	NSDK_UNIT_TEST(writes_say_it),
	NSDK_UNIT_TEST(others_that_write_do_too),
	NSDK_UNIT_TEST(those_take_nothing_else),
	NSDK_UNIT_TEST(what_reads_does_not),
	NSDK_UNIT_TEST(identifiers_are_checked),
	NSDK_UNIT_TEST(a_long_list_is_named_in_part),
	NSDK_UNIT_TEST(an_old_list_stays_until_detach),
	NSDK_UNIT_TEST(lists_do_not_pile_up),
	NSDK_UNIT_TEST(another_namespace_has_others),
	NSDK_UNIT_TEST(are_only_where_there_is_placement),
	NSDK_UNIT_TEST(are_of_an_endurance_group),
};

NSDK_UNIT_MAIN("drivers/nvme/directive", tests, .before = fake_fdp_before, .after = fake_fdp_after)
