/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was measured, for people.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tune.h"

const char *tune_format_ns(uint64_t ns, char *buf, size_t buf_bytes)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	unsigned unit = 0;

	while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, buf_bytes, "%.*f %s", unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2, value,
		 units[unit]);
	return buf;
}

static const struct nsdk_tune_point *point_of(const struct nsdk_tune_table *table, uint64_t bytes)
{
	for (unsigned i = 0; table != NULL && i < table->count; i++) {
		if (table->points[i].bytes == bytes)
			return &table->points[i];
	}
	return NULL;
}

static void print_ns(const struct nsdk_tune_table *table, uint64_t bytes)
{
	const struct nsdk_tune_point *point = point_of(table, bytes);
	char text[32];

	printf(" %9s", point != NULL ? tune_format_ns(point->ns, text, sizeof(text)) : "-");
}

/* Throughput, and how far the quartiles are apart. */
static void print_rate(const struct nsdk_tune_table *table, uint64_t bytes)
{
	const struct nsdk_tune_point *point = point_of(table, bytes);

	if (point == NULL || point->ns == 0)
		printf(" %6s %5s", "-", "-");
	else
		printf(" %6.1f %4.0f%%", (double)bytes / (double)point->ns,
		       100.0 * (double)(point->high_ns - point->low_ns) / (double)point->ns);
}

static void report_lines(const struct nsdk_profile *profile)
{
	const struct nsdk_tune_table *table[2][3];
	char size[32];

	for (unsigned way = 0; way < 2; way++)
		for (unsigned state = 0; state < 3; state++)
			table[way][state] = nsdk_profile_table(profile, NSDK_TUNE_LINES,
							       (enum nsdk_tune_way)way,
							       (enum nsdk_tune_state)state, 1);
	printf("\n%-9s|%-43s|%-43s\n", "", " write back", " write back and invalidate");
	printf("%9s", "size");
	for (unsigned way = 0; way < 2; way++)
		printf("|%9s %6s %5s %9s %9s", "dirty", "GB/s", "+-", "clean", "absent");
	printf("\n");
	for (unsigned i = 0; table[0][0] != NULL && i < table[0][0]->count; i++) {
		uint64_t bytes = table[0][0]->points[i].bytes;

		printf("%9s", tool_format_bytes((double)bytes, size, sizeof(size)));
		for (unsigned way = 0; way < 2; way++) {
			printf("|");
			print_ns(table[way][NSDK_TUNE_DIRTY], bytes);
			print_rate(table[way][NSDK_TUNE_DIRTY], bytes);
			print_ns(table[way][NSDK_TUNE_CLEAN], bytes);
			print_ns(table[way][NSDK_TUNE_ABSENT], bytes);
		}
		printf("\n");
	}
}

/* Tables of one kind side by side. */
static void report_columns(const char *title,
			   const struct nsdk_tune_table *const *tables, const char *const *heads,
			   unsigned count)
{
	char size[32];

	printf("\n%s\n%9s", title, "size");
	for (unsigned c = 0; c < count; c++)
		printf("|%20s", heads[c]);
	printf("\n");
	for (unsigned i = 0; i < tables[0]->count; i++) {
		uint64_t bytes = tables[0]->points[i].bytes;

		printf("%9s", tool_format_bytes((double)bytes, size, sizeof(size)));
		for (unsigned c = 0; c < count; c++) {
			const struct nsdk_tune_point *point = point_of(tables[c], bytes);

			printf("|");
			print_ns(tables[c], bytes);
			if (point != NULL && point->ns != 0 && bytes != 0)
				printf(" %5.1f GB/s", (double)bytes / (double)point->ns);
			else
				printf(" %10s", "");
		}
		printf("\n");
	}
}

static void report_production(const struct nsdk_profile *profile)
{
	static const enum nsdk_tune_what whats[] = { NSDK_TUNE_COPY, NSDK_TUNE_FILL,
						     NSDK_TUNE_MEMCPY };
	static const char *const heads[] = { "non-temporal copy", "non-temporal fill",
					     "memcpy, then flush" };
	const struct nsdk_tune_table *tables[3];

	for (unsigned i = 0; i < 3; i++) {
		tables[i] = nsdk_profile_table(profile, whats[i], NSDK_TUNE_WRITEBACK,
					       NSDK_TUNE_ABSENT, 1);
		if (tables[i] == NULL)
			return;
	}
	report_columns("filling a buffer so that nothing is left to be flushed", tables, heads, 3);
}

static void report_shared(const struct nsdk_profile *profile, enum nsdk_tune_what what,
			  const char *title)
{
	const struct nsdk_tune_table *all, *tables[6];
	char texts[6][32];
	const char *heads[6];
	unsigned count = 0, columns = 0;

	all = nsdk_profile_tables(profile, &count);
	for (unsigned i = 0; i < count && columns < 6; i++) {
		if (all[i].what != what)
			continue;
		snprintf(texts[columns], sizeof(texts[0]), "%u CPU%s%s%s", all[i].cpus,
			 all[i].cpus == 1 ? "" : "s", what == NSDK_TUNE_CREW ? ", " : "",
			 what == NSDK_TUNE_CREW ? nsdk_tune_way_name(all[i].way) : "");
		heads[columns] = texts[columns];
		tables[columns++] = &all[i];
	}
	if (columns > 0)
		report_columns(title, tables, heads, columns);
	else
		printf("\n%s: not measured, since %s\n", title, nsdk_profile_skipped(profile, what));
}

static void report_crossovers(const struct nsdk_profile *profile)
{
	struct nsdk_tune_crossover crossovers[64];
	unsigned count = nsdk_profile_crossovers(profile, crossovers, 64);
	char size[32];

	if (count > 64)
		count = 64;
	printf("\n");
	if (count == 0)
		printf("crossovers: none, since only one way of flushing was measured\n");
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_tune_crossover *c = &crossovers[i];

		printf("%s: %u %s ", nsdk_tune_way_name(c->way), c->cpus,
		       c->what == NSDK_TUNE_CREW ? "flush CPU(s) beside the submitting one" :
						   "CPU(s) with WBINVD");
		if (c->bytes != 0)
			printf("pay from %s on\n",
			       tool_format_bytes((double)c->bytes, size, sizeof(size)));
		else
			printf("pay at no size up to 1 GiB\n");
	}
}

/* What a machine of few CPUs cannot show is not guessed at. */
static void report_scaling(const struct nsdk_profile *profile)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (nsdk_profile_table(profile, NSDK_TUNE_CREW, NSDK_TUNE_WRITEBACK, NSDK_TUNE_DIRTY, 2) != NULL)
		return;
	if (online <= 2)
		printf("how flushing scales with flush CPUs: cannot be shown on %ld CPU%s, and is not "
		       "extrapolated\n", online, online == 1 ? "" : "s");
	else
		printf("how flushing scales with flush CPUs: not measured; name two or more with "
		       "--flush-cpus\n");
}

void tune_report(const struct nsdk_profile *profile)
{
	struct nsdk_line_info lines;

	nsdk_line_info(&lines);
	printf("%s, %s: %s to write back, %s to invalidate, %u-byte lines\n",
	       nsdk_profile_cpu_name(profile), nsdk_profile_date(profile), lines.writeback,
	       lines.invalidate, lines.line_bytes);
	report_lines(profile);
	report_production(profile);
	report_shared(profile, NSDK_TUNE_CREW, "with flush CPUs, dirty lines");
	report_shared(profile, NSDK_TUNE_WBINVD, "WBINVD, by what is dirty");
	report_crossovers(profile);
	report_scaling(profile);
}

/* ---- tune flush --check ---- */

static double ratio_of(const struct nsdk_tune_check *check)
{
	return (double)check->ratio_ppm / 1e6;
}

double tune_worst_ratio(const struct nsdk_tune_check *checks, unsigned count)
{
	double worst = 0;

	for (unsigned i = 0; i < count; i++)
		worst = ratio_of(&checks[i]) > worst ? ratio_of(&checks[i]) : worst;
	return worst;
}

double tune_static_worst_ratio(const struct nsdk_tune_check *checks, unsigned count)
{
	uint64_t worst_ppm = 0;

	for (unsigned i = 0; i < count; i++)
		if (checks[i].static_ratio_ppm > worst_ppm)
			worst_ppm = checks[i].static_ratio_ppm;
	return (double)worst_ppm / 1e6;
}

static const char *way_text(enum nsdk_tune_what what, unsigned cpus, char *buf, size_t buf_bytes)
{
	if (what == NSDK_TUNE_CREW)
		snprintf(buf, buf_bytes, "%s of %u", nsdk_tune_what_name(what), cpus);
	else
		snprintf(buf, buf_bytes, "%s", nsdk_tune_what_name(what));
	return buf;
}

void tune_report_check(const struct nsdk_tune_check *checks, unsigned count)
{
	char size[32], chosen[32], best[32], chosen_ns[32], best_ns[32];

	printf("%9s  %-10s  %-11s %9s  %-11s %9s  %5s\n", "size", "operation", "chosen", "",
	       "fastest", "", "ratio");
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_tune_check *c = &checks[i];

		printf("%9s  %-10s  %-11s %9s  %-11s %9s  %5.3f\n",
		       tool_format_bytes((double)c->bytes, size, sizeof(size)),
		       nsdk_tune_way_name(c->way),
		       way_text(c->chosen, c->chosen_cpus, chosen, sizeof(chosen)),
		       tune_format_ns(c->chosen_ns, chosen_ns, sizeof(chosen_ns)),
		       way_text(c->best, c->best_cpus, best, sizeof(best)),
		       tune_format_ns(c->best_ns, best_ns, sizeof(best_ns)), ratio_of(c));
	}
	if (count > 0)
		printf("worst ratio %.3f, of %u ways to choose from; by the profile alone %.3f\n",
		       tune_worst_ratio(checks, count), checks[0].alternatives,
		       tune_static_worst_ratio(checks, count));
}

/* ---- tune device ---- */

void tune_report_device(const struct nsdk_tune_device *device)
{
	char size[32], iops[4][32];

	printf("%s: %s, since %s\n", device->key, nsdk_policy_name(device->winner), device->reason);
	if (device->count == 0)
		return;
	printf("\n%9s | %-21s | %-21s\n", "", "coherent", "no-snoop");
	printf("%9s | %9s %11s | %9s %11s\n", "size", "IOPS", "CPU an I/O", "IOPS", "CPU an I/O");
	for (unsigned i = 0; i < device->count; i++) {
		const struct nsdk_tune_device_point *p = &device->points[i];

		printf("%9s | %9s %11s | %9s %11s\n",
		       tool_format_bytes((double)p->block_bytes, size, sizeof(size)),
		       tool_format_count((double)p->coherent_iops, iops[0], sizeof(iops[0])),
		       tune_format_ns(p->coherent_cpu_ns, iops[1], sizeof(iops[1])),
		       tool_format_count((double)p->nosnoop_iops, iops[2], sizeof(iops[2])),
		       tune_format_ns(p->nosnoop_cpu_ns, iops[3], sizeof(iops[3])));
	}
}
