/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "lib/pci/pci_internal.h"
#include "nsdk_unit.h"

static void check_parse(const char *text, const char *expected)
{
	char bdf[NSDK_PCI_ADDR_CHARS];
	struct nsdk_pci_addr addr;

	NSDK_ASSERT_INT(nsdk_pci_addr_parse(text, &addr), 0);
	nsdk_pci_addr_format(&addr, bdf);
	NSDK_ASSERT_TEXT(bdf, expected);
}

static void reads_every_form(void)
{
	check_parse("0000:00:03.0", "0000:00:03.0");
	check_parse("pci:0000:00:03.0", "0000:00:03.0");
	check_parse("00:1F.7", "0000:00:1f.7");
	check_parse("pci:3:4.5", "0000:03:04.5");
	check_parse("10000:e1:00.0", "10000:e1:00.0");
	check_parse("FFFFFFFF:ff:1f.7", "ffffffff:ff:1f.7");
}

static void refuses_the_rest(void)
{
	static const char *const wrong[] = {
		"",	       "pci:",		"0000:00:03",  "0000:00:20.0",	 "0000:00:03.8",
		"0000:00:03.", "0000:100:03.0", "00:03.0x",    " 00:03.0",	 "00:03.0 ",
		"0000:00:03.0:", "g:00.0",	"0:0:0:0.0",   "emu:nvme",	 "123456789:00:00.0",
		"0000::03.0",	 ":00.0",	"00:-3.0",     "0x00:03.0",	 "00:03.00",
	};
	struct nsdk_pci_addr addr;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (nsdk_pci_addr_parse(wrong[i], &addr) != -EINVAL)
			NSDK_ASSERT_TEXT(wrong[i], "(refused)");
	}
	NSDK_ASSERT_INT(nsdk_pci_addr_parse(NULL, &addr), -EINVAL);
}

/* Rising: each field counts only where those before it are the same. */
static void are_in_order(void)
{
	static const struct nsdk_pci_addr rising[] = {
		{ 0, 0, 0, 0 }, { 0, 0, 0, 7 }, { 0, 0, 31, 0 }, { 0, 255, 0, 1 }, { 0, 255, 1, 0 },
		{ 0x10000, 0, 0, 0 },
	};

	for (int i = 0; i < 6; i++) {
		for (int k = 0; k < 6; k++) {
			int order = nsdk_pci_addr_compare(&rising[i], &rising[k]);

			NSDK_ASSERT_INT((order > 0) - (order < 0), (i > k) - (i < k));
		}
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(reads_every_form),
	NSDK_UNIT_TEST(refuses_the_rest),
	NSDK_UNIT_TEST(are_in_order),
};

NSDK_UNIT_MAIN("lib/pci/addr", tests)
