/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events: said, asked for again, and not without end. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

static struct nsdk_nvme_ctrlr *ctrlr;

static void attach(void)
{
	ctrlr = fake_attach();
	nsdk_nvme_ctrlr_poll(ctrlr);
}

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void leaves_as_many_requests_as_the_controller_takes(void)
{
	static const struct {
		uint8_t aerl;
		unsigned expected;
	} cases[] = { { 0, 1 }, { 1, 2 }, { 3, 4 }, { 255, 4 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_reset();
		fake.id.aerl = cases[i].aerl;
		attach();
		CU_ASSERT_EQUAL(fake.aers, cases[i].expected);
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			nsdk_nvme_detach(ctrlr);
	}
}

static void says_what_happened_and_asks_again(void)
{
	attach();
	/* SMART, temperature, log page 2. */
	fake_event(0x020101);
	CU_ASSERT_EQUAL(fake.aers, 3);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	CU_ASSERT(nsdk_unit_log_has("asynchronous event: temperature threshold (type 1, information "
				    "01h, log page 02h)"));
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL(fake.aers, 4);

	nsdk_unit_log_clear();
	fake_event(0x040002);
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT(nsdk_unit_log_has("namespace attributes changed"));
	/* Reserved types and informations have words too. */
	for (uint32_t dw0 = 0; dw0 < 8; dw0++) {
		nsdk_unit_log_clear();
		fake_event(dw0 | 0xff00);
		nsdk_nvme_ctrlr_poll(ctrlr);
		CU_ASSERT(nsdk_unit_log_has("asynchronous event: "));
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
}

static void takes_no_for_an_answer(void)
{
	attach();
	/* "Too many of them": it is not asked again. */
	fake_complete(0, fake.aer_cids[--fake.aers], NSDK_NVME_STATUS(1, NSDK_NVME_SC_AER_LIMIT));
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL(fake.aers, 3);
	NSDK_ASSERT_TEXT(nsdk_unit_log_last(), "");
}

static void stops_listening_to_endless_events(void)
{
	int events = 0;

	attach();
	while (fake.aers && events < 1000) {
		fake_event(0x020101);
		nsdk_nvme_ctrlr_poll(ctrlr);
		nsdk_nvme_ctrlr_poll(ctrlr);
		events++;
	}
	CU_ASSERT(events < 100);
	NSDK_ASSERT_ONE_SENTENCE("they are ignored from now on");
	/* The controller itself is good. */
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
}

static void listens_on_while_events_are_few(void)
{
	attach();
	for (int i = 0; i < 200; i++) {
		fake_event(0x020101);
		nsdk_nvme_ctrlr_poll(ctrlr);
		nsdk_nvme_ctrlr_poll(ctrlr);
		fake.now_ns += 1000000000;
	}
	CU_ASSERT_EQUAL(fake.aers, 4);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(leaves_as_many_requests_as_the_controller_takes),
	NSDK_UNIT_TEST(says_what_happened_and_asks_again),
	NSDK_UNIT_TEST(takes_no_for_an_answer),
	NSDK_UNIT_TEST(stops_listening_to_endless_events),
	NSDK_UNIT_TEST(listens_on_while_events_are_few),
};

NSDK_UNIT_MAIN("drivers/nvme/aer", tests, .before = before, .after = after)
