/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>

#include "fake_device.h"
#include "lib/coherence/engine.h"

static struct fake_device fake;
static struct nsdk_ens ens;

static void before(void)
{
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void make(bool bit, bool writable)
{
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, bit, writable);
	CU_ASSERT_EQUAL_FATAL(nsdk_ens_find(&fake.dev, &ens), 0);
}

static void sets_clears_and_restores(void)
{
	for (int found = 0; found < 2; found++) {
		for (int on = 0; on < 2; on++) {
			bool sticks = false;
			uint16_t others;

			make(found, true);
			others = fake.devctl & ~FAKE_NO_SNOOP;
			NSDK_ASSERT_INT(nsdk_ens_set(&ens, on, &sticks), 0);
			CU_ASSERT(sticks);
			NSDK_ASSERT_INT(fake_device_bit(&fake), on);
			NSDK_ASSERT_INT(fake.devctl & ~FAKE_NO_SNOOP, others);
			/* A bit that is right already is not written. */
			NSDK_ASSERT_INT(fake.writes, found != on);
			nsdk_ens_restore(&ens);
			NSDK_ASSERT_INT(fake_device_bit(&fake), found);
			NSDK_ASSERT_INT(fake.devctl & ~FAKE_NO_SNOOP, others);
			CU_ASSERT_FALSE(fake.bad_access);
		}
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void restores_what_was_found_first(void)
{
	bool sticks;

	make(true, true);
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, false, &sticks), 0);
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, true, &sticks), 0);
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, false, &sticks), 0);
	nsdk_ens_restore(&ens);
	CU_ASSERT(fake_device_bit(&fake));
}

static void keeps_what_others_changed_meanwhile(void)
{
	bool sticks;

	make(true, true);
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, false, &sticks), 0);
	fake.devctl ^= 0x00f0;
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.devctl, (0x2110 ^ 0x00f0) | FAKE_NO_SNOOP);
}

/* Bit 15 starts a function reset where it is writable. It should read 0, but not all hardware does. */
static void never_asks_for_a_reset(void)
{
	bool sticks;

	make(true, true);
	fake.devctl |= 0x8000;
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, false, &sticks), 0);
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.writes, 2);
	CU_ASSERT_FALSE(fake.bad_access);
}

static void untouched_is_not_restored(void)
{
	make(true, true);
	fake.devctl &= ~FAKE_NO_SNOOP;
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.writes, 0);
}

static void hardwired_bits_do_not_stick(void)
{
	bool sticks = true;

	make(false, false);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, true, &sticks), 0);
	CU_ASSERT_FALSE(sticks);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, false, &sticks), 0);
	CU_ASSERT(sticks);

	make(true, false);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, false, &sticks), 0);
	CU_ASSERT_FALSE(sticks);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, true, &sticks), 0);
	CU_ASSERT(sticks);
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void conventional_pci_is_coherent_and_cannot_be_else(void)
{
	bool sticks = false;

	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.caps = FAKE_PCI;
	NSDK_ASSERT_INT(nsdk_ens_find(&fake.dev, &ens), 0);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, false, &sticks), 0);
	CU_ASSERT(sticks);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, true, &sticks), 0);
	CU_ASSERT_FALSE(sticks);
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.writes, 0);
	CU_ASSERT_FALSE(fake.bad_access);
}

static void pcix_cannot_be_switched_off(void)
{
	bool sticks = true;

	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.caps = FAKE_PCIX;
	NSDK_ASSERT_INT(nsdk_ens_find(&fake.dev, &ens), 0);
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, false, &sticks), 0);
	CU_ASSERT_FALSE(sticks);
	CU_ASSERT_FALSE(fake.bad_access);
}

static void all_ones_is_a_device_that_is_gone(void)
{
	bool sticks;

	make(true, true);
	fake.gone = true;
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, true, &sticks), -ENODEV);
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.writes, 0);
	/* Which the bus has said. */
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void all_ones_of_a_device_that_is_there(void)
{
	bool sticks;

	make(true, true);
	fake.devctl = 0xffff;
	NSDK_ASSERT_INT(nsdk_ens_set(&ens, true, &sticks), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("no longer answers");
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_INT(fake.writes, 0);
}

static void a_bit_that_cannot_be_restored_is_said(void)
{
	bool sticks;

	make(true, true);
	CU_ASSERT_EQUAL(nsdk_ens_set(&ens, false, &sticks), 0);
	fake.writable = 0;
	nsdk_ens_restore(&ens);
	NSDK_ASSERT_ONE_SENTENCE("could not be restored to 1");
}

static void every_config_error_comes_out(void)
{
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		bool sticks = true;
		int err;

		fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
		err = nsdk_ens_find(&fake.dev, &ens);
		if (!err)
			err = nsdk_ens_set(&ens, false, &sticks);
		if (!nsdk_unit_failed()) {
			NSDK_ASSERT_INT(err, 0);
			break;
		}
		NSDK_ASSERT_INT(err, -EIO);
		NSDK_ASSERT_ONE_SENTENCE("config space");
		nsdk_ens_restore(&ens);
		/* Whatever had been done by then is undone. */
		CU_ASSERT(fake_device_bit(&fake));
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(sets_clears_and_restores),
	NSDK_UNIT_TEST(restores_what_was_found_first),
	NSDK_UNIT_TEST(keeps_what_others_changed_meanwhile),
	NSDK_UNIT_TEST(never_asks_for_a_reset),
	NSDK_UNIT_TEST(untouched_is_not_restored),
	NSDK_UNIT_TEST(hardwired_bits_do_not_stick),
	NSDK_UNIT_TEST(conventional_pci_is_coherent_and_cannot_be_else),
	NSDK_UNIT_TEST(pcix_cannot_be_switched_off),
	NSDK_UNIT_TEST(all_ones_is_a_device_that_is_gone),
	NSDK_UNIT_TEST(all_ones_of_a_device_that_is_there),
	NSDK_UNIT_TEST(a_bit_that_cannot_be_restored_is_said),
	NSDK_UNIT_TEST(every_config_error_comes_out),
};

NSDK_UNIT_MAIN("lib/coherence/ens", tests, .before = before, .after = after)
