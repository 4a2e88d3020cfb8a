/* SPDX-License-Identifier: BSD-3-Clause */
/* The persistent memory region: getting ready, health, what makes stores last, and resets. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_pmr pmr;

/* A controller with a region in BAR 2; PMRTO is 3 s. */
static void has(uint32_t barrier)
{
	fake_reset();
	nsdk_unit_log_clear();
	fake.cap |= NSDK_NVME_CAP_PMRS;
	fake.pmrcap = 2u << 5 | barrier | 6u << 16;
	memset(&pmr, 0, sizeof(pmr));
	ctrlr = fake_attach();
}

static void before(void)
{
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void finish(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	CU_ASSERT(!fake.pmr_enabled);
	fake_check_clean();
}

static void is_mapped_when_it_is_ready(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	CU_ASSERT(!fake.pmr_enabled);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_unmap(ctrlr), -EINVAL);
	fake.pmr_slowness = 20;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	NSDK_ASSERT_INT(fake.pmr_slowness, 0);
	CU_ASSERT_PTR_EQUAL(pmr.base, fake_bar2);
	NSDK_ASSERT_INT(pmr.bytes, sizeof(fake_bar2));
	NSDK_ASSERT_INT(pmr.health, NSDK_NVME_PMR_NORMAL);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EALREADY);
	NSDK_ASSERT_ONE_SENTENCE("mapped already");
	NSDK_ASSERT_INT(nsdk_nvme_pmr_unmap(ctrlr), 0);
	CU_ASSERT(!fake.pmr_enabled);
	/* And again; what is mapped at the end is disabled then. */
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	finish();
}

static void a_reactor_is_not_held_up(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_poll(ctrlr, &pmr), -EINVAL);
	nsdk_unit_log_clear();
	fake.pmr_slowness = 3;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_start(ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_poll(ctrlr, &pmr), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_poll(ctrlr, &pmr), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_poll(ctrlr, &pmr), 0);
	finish();
}

static void its_time_ends(void)
{
	uint64_t start_ns;

	has(NSDK_NVME_PMRCAP_WB_STATUS);
	fake.pmr_slowness = UINT32_MAX;
	start_ns = fake.now_ns;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("did not get ready within 3000 ms");
	CU_ASSERT(fake.now_ns - start_ns >= 3 * NVME_NS_PER_S);
	CU_ASSERT(fake.now_ns - start_ns < 4 * NVME_NS_PER_S);
	CU_ASSERT(!fake.pmr_enabled);
	/* In minutes. */
	fake.pmrcap |= 1u << 8;
	start_ns = fake.now_ns;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -ETIMEDOUT);
	CU_ASSERT(fake.now_ns - start_ns >= 360 * NVME_NS_PER_S);
	nsdk_unit_log_clear();
	/* One that gives no time at all. */
	fake.pmrcap = 2u << 5 | NSDK_NVME_PMRCAP_WB_STATUS;
	fake.pmr_slowness = 5;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	finish();
}

static void nonsense_is_refused(void)
{
	has(0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("PMRCAP");
	fake.pmrcap = 6u << 5 | NSDK_NVME_PMRCAP_WB_READ;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("PMRCAP");
	fake.pmrcap = NSDK_NVME_PMRCAP_WB_READ;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("PMRCAP");
	fake.pmrcap = 2u << 5 | NSDK_NVME_PMRCAP_WB_READ;
	fake.cmb_bar_error = 1;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("made to fail");
	fake.cmb_bar_error = 0;
	fake.bar_check_error = -EADDRINUSE;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("BAR 2, the persistent memory region's, has the MSI-X table in it");
	CU_ASSERT(!fake.pmr_enabled);
	finish();
	fake_reset();
	ctrlr = fake_attach();
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("has no persistent memory region");
	finish();
}

/* A read of PMRSTS, whichever way it is: it says whether all is well, too. */
static void a_flush_looks_at_the_status(void)
{
	static const uint32_t barriers[] = {
		NSDK_NVME_PMRCAP_WB_STATUS,
		NSDK_NVME_PMRCAP_WB_READ,
		NSDK_NVME_PMRCAP_WB_STATUS | NSDK_NVME_PMRCAP_WB_READ,
	};

	for (unsigned i = 0; i < sizeof(barriers) / sizeof(barriers[0]); i++) {
		unsigned looks;

		has(barriers[i]);
		NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
		looks = fake.pmr_looks;
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
		NSDK_ASSERT_INT(fake.pmr_looks - looks, 1);
		fake.pmr_status = 7;
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("PMRSTS 00000007h");
		fake.pmr_status = NSDK_NVME_PMR_READ_ONLY << 9;
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("read only");
		fake.pmr_status = NSDK_NVME_PMR_UNRELIABLE << 9;
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("unreliable");
		/* What was kept was lost; what is stored now is not. */
		fake.pmr_status = NSDK_NVME_PMR_RESTORE_ERROR << 9;
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
		fake.pmr_status = 0;
		finish();
	}
}

static void health_is_told(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	fake.pmr_status = NSDK_NVME_PMR_RESTORE_ERROR << 9;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	NSDK_ASSERT_INT(pmr.health, NSDK_NVME_PMR_RESTORE_ERROR);
	CU_ASSERT(nsdk_unit_log_has("is not well: restore error"));
	for (int i = 0; i < 8; i++)
		CU_ASSERT(strlen(nsdk_nvme_pmr_health_text((enum nsdk_nvme_pmr_health)i)) > 4);
	finish();
}

static void one_that_vanishes_is_gone(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	fake.gone = true;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -ENODEV);
	nsdk_nvme_detach(ctrlr);
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	fake.gone = true;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), -ENODEV);
	nsdk_nvme_detach(ctrlr);
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_start(ctrlr), 0);
	fake.gone = true;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map_poll(ctrlr, &pmr), -ENODEV);
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_clear();
}

static void reset_function(void)
{
	unsigned enables = fake.pmr_enables;

	fake.never_disabled = fake.cfs = true;
	for (unsigned i = 0; i < 20000 && (fake.pmr_enables == enables ||
					   nsdk_nvme_ctrlr_recovering(ctrlr)); i++) {
		CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		fake.now_ns += 100 * NVME_NS_PER_MS;
		if (ctrlr->recovery.rung == NVME_RUNG_FUNCTION_RESET)
			usleep(1000);
	}
	NSDK_ASSERT_INT(fake.pmr_enables, enables + 1);
	nsdk_unit_log_clear();
}

/* Nobody looked while it was disabled: what was stored then is lost all the same. */
static void a_reset_that_nobody_saw_fails_one_flush(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	ctrlr->opts.max_resets = 20;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	NSDK_ASSERT_INT(pmr.losses, 0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
	for (unsigned n = 1; n <= 2; n++) {
		reset_function();
		NSDK_ASSERT_INT(nsdk_nvme_pmr_losses(ctrlr), n);
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("a reset has disabled the persistent memory region");
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
	}
	/* What it was to keep, and has not. */
	reset_function();
	fake.pmr_status = NSDK_NVME_PMR_RESTORE_ERROR << 9;
	for (unsigned n = 0; n < 2; n++) {
		NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("restore error");
	}
	/* Who maps it anew knows. */
	NSDK_ASSERT_INT(nsdk_nvme_pmr_unmap(ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	NSDK_ASSERT_INT(pmr.losses, 3);
	NSDK_ASSERT_INT(pmr.health, NSDK_NVME_PMR_RESTORE_ERROR);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
	/* One that claims to be ready while it is disabled. */
	fake.pmr_disabled_is_ready = true;
	fake.pmr_enabled = false;
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EAGAIN);
	nsdk_unit_log_clear();
	finish();
}

/* A function reset disables it; it is enabled again, and no flush claims anything before it is ready. */
static void comes_back_after_a_reset(void)
{
	has(NSDK_NVME_PMRCAP_WB_STATUS);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_map(ctrlr, &pmr), 0);
	fake.never_disabled = fake.cfs = true;
	for (unsigned i = 0; i < 20000 && fake.pmr_enables < 2; i++) {
		CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		fake.now_ns += 100 * NVME_NS_PER_MS;
		if (!fake.pmr_enabled)
			NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EAGAIN);
		if (ctrlr->recovery.rung == NVME_RUNG_FUNCTION_RESET)
			usleep(1000);
	}
	NSDK_ASSERT_INT(fake.pmr_enables, 2);
	for (unsigned i = 0; i < 20000 && nsdk_nvme_ctrlr_recovering(ctrlr); i++)
		CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), -EIO);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
	/* One of the controller alone leaves it as it is. */
	fake.cfs = true;
	for (unsigned i = 0; i < 20000 && (fake.enables < 3 || nsdk_nvme_ctrlr_recovering(ctrlr)); i++) {
		CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		fake.now_ns += 100 * NVME_NS_PER_MS;
	}
	NSDK_ASSERT_INT(fake.pmr_enables, 2);
	NSDK_ASSERT_INT(nsdk_nvme_pmr_flush(ctrlr), 0);
	nsdk_unit_log_clear();
	finish();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(is_mapped_when_it_is_ready),
	NSDK_UNIT_TEST(a_reactor_is_not_held_up),
	NSDK_UNIT_TEST(its_time_ends),
	NSDK_UNIT_TEST(nonsense_is_refused),
	NSDK_UNIT_TEST(a_flush_looks_at_the_status),
	NSDK_UNIT_TEST(health_is_told),
	NSDK_UNIT_TEST(one_that_vanishes_is_gone),
	NSDK_UNIT_TEST(a_reset_that_nobody_saw_fails_one_flush),
	NSDK_UNIT_TEST(comes_back_after_a_reset),
};

NSDK_UNIT_MAIN("drivers/nvme/pmr", tests, .before = before, .after = after)
