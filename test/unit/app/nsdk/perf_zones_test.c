/* SPDX-License-Identifier: BSD-3-Clause */
/* The order in which --zonemode=zbd writes: every unit once, each zone from its start, few at a time. */
#include <string.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static void each_zone_from_its_start(void)
{
	static const struct {
		uint64_t zones, units, stripes;
	} shapes[] = { { 1, 1, 1 }, { 1, 9, 1 }, { 8, 4, 1 }, { 8, 4, 3 }, { 8, 4, 8 }, { 7, 5, 4 },
		      { 9, 1, 2 } };

	for (unsigned s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		struct perf_zones zones = { .zones = shapes[s].zones, .units = shapes[s].units };
		uint64_t next[16] = { 0 }, wrong = 0, most = 0;

		for (uint64_t i = 0; i < zones.zones * zones.units; i++) {
			uint64_t unit = perf_zones_unit(&zones, shapes[s].stripes, i), open = 0;

			CU_ASSERT_FATAL(unit < zones.zones * zones.units);
			wrong += unit % zones.units != next[unit / zones.units]++;
			for (uint64_t z = 0; z < zones.zones; z++)
				open += next[z] > 0 && next[z] < zones.units;
			most = open > most ? open : most;
		}
		CU_ASSERT_EQUAL(wrong, 0);
		for (uint64_t z = 0; z < zones.zones; z++)
			CU_ASSERT_EQUAL(next[z], zones.units);
		CU_ASSERT(most <= shapes[s].stripes);
		CU_ASSERT(zones.units < 2 || most == (shapes[s].stripes < zones.zones ?
						      shapes[s].stripes :
										       zones.zones));
	}
}

/* What a zone cannot hold is left out. */
static void units_are_in_their_zones(void)
{
	struct perf_device device = { .zones = { .zones = 4, .units = 3, .zone_blocks = 100 } };
	struct perf_job job = { .device = &device, .first_lba = 1000, .unit_blocks = 8 };

	CU_ASSERT_EQUAL(perf_zones_lba(&job, 0), 1000);
	CU_ASSERT_EQUAL(perf_zones_lba(&job, 2), 1016);
	CU_ASSERT_EQUAL(perf_zones_lba(&job, 3), 1100);
	CU_ASSERT_EQUAL(perf_zones_lba(&job, 11), 1316);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(each_zone_from_its_start),
	NSDK_UNIT_TEST(units_are_in_their_zones),
};

NSDK_UNIT_MAIN("app/nsdk/perf_zones", tests)
