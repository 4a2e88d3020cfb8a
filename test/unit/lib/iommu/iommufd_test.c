/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "fake_kernel.h"
#include "lib/iommu/iommu_internal.h"

#define MIB ((uint64_t)1 << 20)

static struct nsdk_iommu *iommu;
static struct nsdk_ioas *ioas;
static struct nsdk_ioas_member member[FAKE_MAX_DEVICES];

/* Addresses are never looked at by the fake. */
static void *at(uint64_t va)
{
	return (void *)(uintptr_t)va;
}

static void open_space(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &ioas), 0);
}

static void close_space(void)
{
	nsdk_ioas_destroy(ioas);
	nsdk_iommu_close(iommu);
	ioas = NULL;
	iommu = NULL;
}

static void before(void)
{
	fake_kernel_start();
	open_space();
}

static void after(void)
{
	close_space();
	fake_kernel_stop();
}

static void attach(unsigned device)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(ioas, device, &member[device]), 0);
}

static void detach(unsigned device)
{
	fake_detach_cdev(ioas, &member[device]);
}

static enum nsdk_snoop_state verdict(void)
{
	struct nsdk_snoop_verdict out;

	nsdk_ioas_verdict(ioas, &out);
	CU_ASSERT(strlen(out.reason) > 10);
	CU_ASSERT(strlen(out.reason) < sizeof(out.reason) - 1);
	return out.state;
}

static uint64_t map(uint64_t va, uint64_t bytes)
{
	nsdk_iova_t iova = {0};

	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(ioas, at(va), bytes, NSDK_IOAS_RW, false, &iova), 0);
	return iova.addr;
}

static int map_fixed(uint64_t iova)
{
	nsdk_iova_t asked = {iova};

	return nsdk_ioas_map(ioas, at(0x7f0000000000), 4096, NSDK_IOAS_RW, true, &asked);
}

/* ---- verdicts ---- */

static void unknown_before_a_device_is_there(void)
{
	/* The kernel would answer 1: the empty truth. */
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
}

static void permitted_where_nothing_enforces(void)
{
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	NSDK_ASSERT_INT(fake.compat_ioas, 0);
	detach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
}

static void enforced_where_the_iommu_does(void)
{
	fake.devices[0].enforces = true;
	fake.devices[0].ecap |= 0x80;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_ENFORCED);
	detach(0);
}

static void silent_hardware_leaves_it_to_the_kernel(void)
{
	fake.devices[0].hw_type = 0;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	detach(0);
	fake.devices[0].enforces = true;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_ENFORCED);
	detach(0);
}

static void contradictions_are_doubts(void)
{
	fake.cc_answer = 1;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
	fake.cc_answer = 0;
	fake.devices[0].ecap |= 0x80;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
	fake.cc_answer = 2;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
}

static void unanswered_questions_are_doubts(void)
{
	fake.hw_info_error = EOPNOTSUPP;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
}

static void both_kinds_in_one_space_are_a_doubt(void)
{
	struct fake_device *second = fake_kernel_add_device();

	second->enforces = true;
	second->ecap |= 0x80;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	attach(1);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_ENFORCED);
	detach(1);
}

/* ---- page tables ---- */

static void second_device_never_lands_on_the_first_ones_table(void)
{
	struct fake_device *second = fake_kernel_add_device();

	second->enforces = true;
	attach(0);
	attach(1);
	/* By itself the kernel would put the second on the first's, which does not enforce. */
	CU_ASSERT_NOT_EQUAL(fake.devices[0].hwpt, second->hwpt);
	NSDK_ASSERT_INT(fake.auto_tables, 1);
	NSDK_ASSERT_INT(fake.own_tables, 1);
	detach(1);
	detach(0);
}

static void third_device_gets_its_own_after_the_first_left(void)
{
	fake_kernel_add_device();
	fake_kernel_add_device();
	attach(0);
	attach(1);
	detach(0);
	attach(2);
	CU_ASSERT_NOT_EQUAL(fake.devices[1].hwpt, fake.devices[2].hwpt);
	/* Nobody was on a table of the kernel's, so it made a fresh one. */
	NSDK_ASSERT_INT(fake.auto_tables, 2);
	detach(2);
	detach(1);
}

static void table_that_cannot_be_made_is_left_to_the_kernel(void)
{
	struct fake_device *second = fake_kernel_add_device();

	second->no_hwpt_alloc = true;
	attach(0);
	attach(1);
	NSDK_ASSERT_INT(fake.own_tables, 0);
	CU_ASSERT_EQUAL(fake.devices[0].hwpt, second->hwpt);
	detach(0);
	detach(1);
}

static void table_without_room_is_left_to_the_kernel(void)
{
	struct nsdk_iova_range range;

	fake.devices[0].late_table = true;
	fake_kernel_add_device()->late_table = true;
	attach(0);
	attach(1);
	NSDK_ASSERT_INT(fake.own_tables, 1);
	CU_ASSERT_EQUAL(fake.devices[0].hwpt, fake.devices[1].hwpt);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 1), 2);
	NSDK_ASSERT_INT(range.last, 0xfedfffff);
	detach(0);
	detach(1);
}

static void table_in_the_way_of_mappings_is_left_to_the_kernel(void)
{
	fake.devices[0].late_table = true;
	fake_kernel_add_device()->late_table = true;
	attach(0);
	map(0x7f0000000000, 4096);
	attach(1);
	NSDK_ASSERT_INT(fake.own_tables, 0);
	detach(1);
	detach(0);
}

static void devices_of_a_group_share_a_table(void)
{
	fake_kernel_add_device()->group = 7;
	fake_kernel_add_device();
	attach(2);
	attach(0);
	attach(1);
	CU_ASSERT_EQUAL(fake.devices[0].hwpt, fake.devices[1].hwpt);
	CU_ASSERT_NOT_EQUAL(fake.devices[0].hwpt, fake.devices[2].hwpt);
	/* The one that stays inherits the table, and the last destroys it. */
	detach(0);
	CU_ASSERT_NOT_EQUAL(fake.devices[1].hwpt, 0);
	detach(1);
	detach(2);
}

/* ---- IOVAs ---- */

static void ranges_are_everything_before_a_device_is_there(void)
{
	struct nsdk_iova_range range;

	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 1), 1);
	CU_ASSERT_EQUAL(range.first, 0);
	CU_ASSERT_EQUAL(range.last, UINT64_MAX);
}

static void iommu_of_39_bits(void)
{
	struct nsdk_iova_range range[3];

	fake.devices[0].bits = 39;
	attach(0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
	NSDK_ASSERT_INT(range[0].first, 0);
	NSDK_ASSERT_INT(range[0].last, 0xfedfffff);
	NSDK_ASSERT_INT(range[1].first, 0xfef00000);
	NSDK_ASSERT_INT(range[1].last, 0x7fffffffff);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 2 * MIB);
	NSDK_ASSERT_INT(map(0x7f0000400000, 2 * MIB), 4 * MIB);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, 4 * MIB), 2 * MIB);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	detach(0);
}

static void iommu_of_48_bits_gets_identity(void)
{
	attach(0);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 0x7f0000200000);
	detach(0);
}

static void interrupt_window_is_refused(void)
{
	attach(0);
	NSDK_ASSERT_INT(map_fixed(0xfee00000), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0x0-0xfedfffff, 0xfef00000-0xffffffffffff");
	NSDK_ASSERT_INT(map_fixed(0xfedff000), 0);
	detach(0);
}

static void many_ranges_are_read_whole(void)
{
	struct nsdk_iova_range range[40];

	fake.many_ranges = true;
	attach(0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 40), 31);
	NSDK_ASSERT_INT(range[30].first, 0xfef00000 + 29 * 0x4000);
	detach(0);
}

static void narrower_device_is_refused_when_mapped_above(void)
{
	fake_kernel_add_device()->bits = 39;
	attach(0);
	map(0x7f0000200000, 2 * MIB);
	NSDK_ASSERT_INT(fake_attach_cdev(ioas, 1, &member[1]), -EADDRINUSE);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:04.0 cannot join this address space");
	/* The ranges are those of the first again. */
	NSDK_ASSERT_INT(map(0x7f0000400000, 2 * MIB), 0x7f0000400000);
	detach(0);
}

static void ranges_widen_when_the_narrow_one_leaves(void)
{
	fake_kernel_add_device()->bits = 39;
	attach(1);
	attach(0);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 2 * MIB);
	detach(1);
	NSDK_ASSERT_INT(map(0x7f0000400000, 2 * MIB), 0x7f0000400000);
	detach(0);
}

/* ---- mappings ---- */

static void unmap_is_whole_or_not_at_all(void)
{
	uint64_t iova;

	attach(0);
	iova = map(0x7f0000200000, 2 * MIB);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, MIB), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("exactly");
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova + MIB}, MIB), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("exactly");
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 1);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 2 * MIB), 0);
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 0);
	detach(0);
}

static void unmap_that_fails_keeps_the_record(void)
{
	uint64_t iova;

	attach(0);
	iova = map(0x7f0000200000, 4096);
	fake.unmap_error = EBUSY;
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 4096), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("stays pinned");
	NSDK_ASSERT_INT(map_fixed(iova), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("is taken");
	fake.unmap_error = 0;
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 4096), 0);
	detach(0);
}

static void copy_pins_nothing_again(void)
{
	struct nsdk_ioas_member other_member;
	nsdk_iova_t from, to = {0};
	struct nsdk_ioas *other;

	fake_kernel_add_device()->bits = 39;
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &other), 0);
	attach(0);
	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(other, 1, &other_member), 0);
	from.addr = map(0x7f0000200000, 2 * MIB);
	NSDK_ASSERT_INT(nsdk_ioas_copy(other, ioas, from, at(0x7f0000200000), 2 * MIB, NSDK_IOAS_RW,
				       false, &to), 0);
	/* Where it can be in the other one. */
	NSDK_ASSERT_INT(to.addr, 2 * MIB);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(1, 2 * MIB), 2 * MIB);
	NSDK_ASSERT_INT(fake.pins, 1);
	NSDK_ASSERT_INT(nsdk_ioas_copy(other, ioas, from, at(0x7f0000200000), MIB, NSDK_IOAS_RW, false,
				       &to), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("the source has not mapped");
	NSDK_ASSERT_INT(nsdk_ioas_copy(other, ioas, from, at(0x7f0000600000), 2 * MIB, NSDK_IOAS_RW,
				       false, &to), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("the source has not mapped");
	fake_detach_cdev(other, &other_member);
	detach(0);
	nsdk_ioas_destroy(other);
}

static void copy_between_handles_is_a_map(void)
{
	struct nsdk_iommu *second;
	struct nsdk_ioas *other;
	nsdk_iova_t from, to = {0};

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &second), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(second, &other), 0);
	from.addr = map(0x7f0000200000, 4096);
	NSDK_ASSERT_INT(nsdk_ioas_copy(other, ioas, from, at(0x7f0000200000), 4096, NSDK_IOAS_READ,
				       false, &to), 0);
	NSDK_ASSERT_INT(fake.pins, 2);
	nsdk_ioas_destroy(other);
	nsdk_iommu_close(second);
}

static void rights_reach_the_kernel(void)
{
	nsdk_iova_t iova = {0x10000};

	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000000000), 4096, NSDK_IOAS_READ, true, &iova), 0);
	iova.addr = 0x20000;
	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000000000), 4096, NSDK_IOAS_WRITE, true, &iova), 0);
	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++) {
		if (fake_maps[i].bytes != 0 && fake_maps[i].iova == 0x10000)
			NSDK_ASSERT_INT(fake_maps[i].prot, IOMMU_IOAS_MAP_READABLE);
		if (fake_maps[i].bytes != 0 && fake_maps[i].iova == 0x20000)
			NSDK_ASSERT_INT(fake_maps[i].prot, IOMMU_IOAS_MAP_WRITEABLE);
	}
}

/* ---- refusals ---- */

static int refused(void)
{
	int rc = fake_attach_cdev(ioas, 0, &member[0]);

	NSDK_ASSERT_INT(fake.devices[0].hwpt, 0);
	NSDK_ASSERT_INT(fake.open_fds, 1); /* the iommufd */
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	return rc;
}

static void unsafe_interrupts_are_explained(void)
{
	fake.devices[0].unsafe_interrupts = true;
	NSDK_ASSERT_INT(refused(), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("iommufd.allow_unsafe_interrupts=1");
}

static void busy_device_is_explained(void)
{
	fake.devices[0].busy = true;
	NSDK_ASSERT_INT(refused(), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:03.0 is in use: /dev/vfio/devices/vfio0 is open already");
}

static void busy_group_is_explained(void)
{
	fake.devices[0].group_not_viable = true;
	NSDK_ASSERT_INT(refused(), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("/sys/kernel/iommu_groups/7/devices");
}

static void rejected_table_is_explained(void)
{
	fake.devices[0].rejects_tables = true;
	NSDK_ASSERT_INT(refused(), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("IOMMU group 7");
}

static void group_in_two_spaces_is_explained(void)
{
	struct nsdk_ioas *other;

	fake_kernel_add_device()->group = 7;
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &other), 0);
	attach(0);
	NSDK_ASSERT_INT(fake_attach_cdev(other, 1, &member[1]), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("must be in one address space");
	detach(0);
	nsdk_ioas_destroy(other);
}

/* ---- every call fails once ---- */

/* Failures that do not make the attach fail. What they cost is a doubt. */
static bool is_tolerated(unsigned long request)
{
	return request == IOMMU_VFIO_IOAS || request == VFIO_CHECK_EXTENSION ||
	       request == IOMMU_GET_HW_INFO;
}

static int open_attach_map(void)
{
	nsdk_iova_t iova = {0};
	int rc;

	rc = nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &iommu);
	if (rc != 0)
		return rc;
	rc = nsdk_ioas_create(iommu, &ioas);
	if (rc != 0)
		goto close_iommu;
	rc = fake_attach_cdev(ioas, 0, &member[0]);
	if (rc != 0)
		goto destroy_space;
	rc = fake_attach_cdev(ioas, 1, &member[1]);
	if (rc != 0)
		goto detach_first;
	rc = nsdk_ioas_map(ioas, at(0x7f0000200000), 2 * MIB, NSDK_IOAS_RW, false, &iova);
	if (rc == 0)
		return 0;
	detach(1);
detach_first:
	detach(0);
destroy_space:
	nsdk_ioas_destroy(ioas);
close_iommu:
	nsdk_iommu_close(iommu);
	return rc;
}

static void every_call_may_fail(void)
{
	unsigned rounds = 0, tolerated = 0;

	close_space();
	fake_kernel_add_device();
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
		bool open_of_a_device;
		int rc;

		nsdk_unit_log_clear();
		fake.failed_request = 0;
		fake.failed_call = "";
		rc = open_attach_map();
		/* The open of the cdev is the test's own, in place of lib/bus. */
		open_of_a_device = fake.failed_call != NULL && strcmp(fake.failed_call, "open") == 0 &&
				   n > 2;
		if (nsdk_unit_failed() && !is_tolerated(fake.failed_request)) {
			NSDK_ASSERT_INT(rc, -EIO);
			NSDK_ASSERT_INT(nsdk_unit_log_count(), open_of_a_device ? 0 : 1);
			CU_ASSERT_TRUE(fake_kernel_is_idle());
			continue;
		}
		NSDK_ASSERT_INT(rc, 0);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		if (rc != 0)
			break;
		if (nsdk_unit_failed()) {
			tolerated++;
			/* A question of the last attach that failed is a doubt; one of the first was
			 * asked again. Emptying the slot is not a question. */
			CU_ASSERT(verdict() == NSDK_SNOOP_UNKNOWN || verdict() == NSDK_SNOOP_PERMITTED);
		} else {
			NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
		}
		NSDK_ASSERT_INT(fake_kernel_map_count(0), 1);
		detach(1);
		detach(0);
		close_space();
		/* On the way back a call fails too in the last rounds: what the kernel does not take
		 * back ends with its file, so the file must be closed. */
		if (nsdk_unit_failed())
			fake.objects_left = 0;
		CU_ASSERT_TRUE(fake_kernel_is_idle());
	}
	CU_ASSERT(rounds > 20);
	NSDK_ASSERT_INT(tolerated, 8);
	open_space();
}

/* A device that does not get in does not change what those inside can use. */
static void failed_attach_leaves_the_ranges(void)
{
	struct nsdk_iova_range range[3];
	unsigned failed = 0;

	fake.devices[0].late_table = true;
	fake_kernel_add_device()->late_table = true;
	attach(0);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		fake.failed_request = 0;
		if (fake_attach_cdev(ioas, 1, &member[1]) == 0) {
			if (!nsdk_unit_failed())
				nsdk_unit_fail_none(); /* the way back and the next start are to work */
			detach(1);
		} else if (fake.failed_request != IOMMU_IOAS_IOVA_RANGES &&
			   fake.failed_request != VFIO_DEVICE_DETACH_IOMMUFD_PT) {
			/* Ranges that cannot be read stay narrow, as those do in which the kernel keeps
			 * the table that was tried. */
			failed++;
			NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
			NSDK_ASSERT_INT(range[0].last, 0xfedfffff);
		}
		/* A table whose destruction failed stays in the way until its file is closed. */
		detach(0);
		close_space();
		fake.objects_left = 0;
		open_space();
		attach(0);
	}
	CU_ASSERT(failed >= 4);
	detach(0);
}

/* A question that fails in the only attach there is. */
static void failed_questions_are_doubts(void)
{
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = fake_attach_cdev(ioas, 0, &member[0]);
		bool slot_emptied = fake.failed_request == IOMMU_VFIO_IOAS && fake.compat_ioas != 0;

		if (rc != 0)
			continue;
		if (nsdk_unit_failed() && !slot_emptied)
			NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
		else
			NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
		detach(0);
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(unknown_before_a_device_is_there),
	NSDK_UNIT_TEST(permitted_where_nothing_enforces),
	NSDK_UNIT_TEST(enforced_where_the_iommu_does),
	NSDK_UNIT_TEST(silent_hardware_leaves_it_to_the_kernel),
	NSDK_UNIT_TEST(contradictions_are_doubts),
	NSDK_UNIT_TEST(unanswered_questions_are_doubts),
	NSDK_UNIT_TEST(both_kinds_in_one_space_are_a_doubt),
	NSDK_UNIT_TEST(second_device_never_lands_on_the_first_ones_table),
	NSDK_UNIT_TEST(third_device_gets_its_own_after_the_first_left),
	NSDK_UNIT_TEST(table_that_cannot_be_made_is_left_to_the_kernel),
	NSDK_UNIT_TEST(table_without_room_is_left_to_the_kernel),
	NSDK_UNIT_TEST(table_in_the_way_of_mappings_is_left_to_the_kernel),
	NSDK_UNIT_TEST(devices_of_a_group_share_a_table),
	NSDK_UNIT_TEST(ranges_are_everything_before_a_device_is_there),
	NSDK_UNIT_TEST(iommu_of_39_bits),
	NSDK_UNIT_TEST(iommu_of_48_bits_gets_identity),
	NSDK_UNIT_TEST(interrupt_window_is_refused),
	NSDK_UNIT_TEST(many_ranges_are_read_whole),
	NSDK_UNIT_TEST(narrower_device_is_refused_when_mapped_above),
	NSDK_UNIT_TEST(ranges_widen_when_the_narrow_one_leaves),
	NSDK_UNIT_TEST(unmap_is_whole_or_not_at_all),
	NSDK_UNIT_TEST(unmap_that_fails_keeps_the_record),
	NSDK_UNIT_TEST(copy_pins_nothing_again),
	NSDK_UNIT_TEST(copy_between_handles_is_a_map),
	NSDK_UNIT_TEST(rights_reach_the_kernel),
	NSDK_UNIT_TEST(unsafe_interrupts_are_explained),
	NSDK_UNIT_TEST(busy_device_is_explained),
	NSDK_UNIT_TEST(busy_group_is_explained),
	NSDK_UNIT_TEST(rejected_table_is_explained),
	NSDK_UNIT_TEST(group_in_two_spaces_is_explained),
	NSDK_UNIT_TEST(every_call_may_fail),
	NSDK_UNIT_TEST(failed_attach_leaves_the_ranges),
	NSDK_UNIT_TEST(failed_questions_are_doubts),
};

NSDK_UNIT_MAIN("lib/iommu/iommufd", tests, .before = before, .after = after)
