/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cost against size as a picture. gnuplot draws it: it is told everything through its standard input,
 * data and all, and its standard output is the picture, so nothing else is left on the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tune.h"

#define GNUPLOT "gnuplot"

extern char **environ;

bool tune_plot_possible(void)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (const char *at = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"; *at != '\0';) {
		size_t length = strcspn(at, ":");

		snprintf(file, sizeof(file), "%.*s/" GNUPLOT, (int)length, at);
		if (access(file, X_OK) == 0)
			return true;
		at += length + (at[length] == ':');
	}
	return false;
}

/* What a curve is called; NULL: not drawn. The planner goes by dirty lines, so those are shown. */
static const char *title_of(const struct nsdk_tune_table *table, char *buf, size_t buf_bytes)
{
	const char *way = table->way == NSDK_TUNE_WRITEBACK ? "write back" : "write back and invalidate";

	switch (table->what) {
	case NSDK_TUNE_LINES:
		if (table->state != NSDK_TUNE_DIRTY)
			return NULL;
		snprintf(buf, buf_bytes, "%s", way);
		return buf;
	case NSDK_TUNE_CREW:
		snprintf(buf, buf_bytes, "%s, %u flush CPU%s", way, table->cpus,
			 table->cpus == 1 ? "" : "s");
		return buf;
	case NSDK_TUNE_WBINVD:
		snprintf(buf, buf_bytes, "WBINVD on %u CPU%s", table->cpus, table->cpus == 1 ? "" : "s");
		return buf;
	case NSDK_TUNE_COPY:
		return "non-temporal copy";
	case NSDK_TUNE_MEMCPY:
		return "memcpy, then write back";
	case NSDK_TUNE_FILL:
		return "non-temporal fill";
	}
	return NULL;
}

static void write_data(FILE *to, const struct nsdk_tune_table *tables, unsigned count)
{
	char title[96];

	for (unsigned i = 0; i < count; i++) {
		if (title_of(&tables[i], title, sizeof(title)) == NULL)
			continue;
		fprintf(to, "$t%u << EOD\n", i);
		for (unsigned p = 0; p < tables[i].count; p++)
			/* Nothing dirty has no place on a logarithmic axis. */
			if (tables[i].points[p].bytes != 0)
				fprintf(to, "%llu %llu %llu %llu\n",
					(unsigned long long)tables[i].points[p].bytes,
					(unsigned long long)tables[i].points[p].ns,
					(unsigned long long)tables[i].points[p].low_ns,
					(unsigned long long)tables[i].points[p].high_ns);
		fprintf(to, "EOD\n");
	}
}

/* Where one way becomes cheaper: a line from top to bottom, with its size. */
static void write_crossovers(FILE *to, const struct nsdk_profile *profile)
{
	struct nsdk_tune_crossover crossovers[64];
	unsigned count = nsdk_profile_crossovers(profile, crossovers, 64);
	char size[32];

	for (unsigned i = 0; i < count && i < 64; i++) {
		const struct nsdk_tune_crossover *c = &crossovers[i];

		if (c->bytes == 0)
			continue;
		fprintf(to, "set arrow from %llu, graph 0 to %llu, graph 1 nohead dashtype 3 "
			    "linecolor rgb '#888888'\n",
			(unsigned long long)c->bytes, (unsigned long long)c->bytes);
		fprintf(to, "set label '%s: %u %s from %s' at %llu, graph %.2f rotate by 90 offset -0.8, 0 "
			    "font ',9' textcolor rgb '#555555'\n",
			nsdk_tune_way_name(c->way), c->cpus,
			c->what == NSDK_TUNE_CREW ? "flush CPU(s)" : "CPU(s) WBINVD",
			tool_format_bytes((double)c->bytes, size, sizeof(size)),
			(unsigned long long)c->bytes, 0.03 + 0.05 * (i % 3));
	}
}

static void write_script(FILE *to, const struct nsdk_profile *profile)
{
	const struct nsdk_tune_table *tables;
	const char *comma = "";
	unsigned count;
	char title[96];

	tables = nsdk_profile_tables(profile, &count);
	fputs("set terminal svg size 1000,640 enhanced font 'sans-serif,12' background rgb 'white'\n", to);
	/* The CPU's name is text and shall not be read as marks: in single quotes, and not enhanced. */
	fputs("set title '", to);
	for (const char *c = nsdk_profile_cpu_name(profile); *c != '\0'; c++)
		if (*c != '\'')
			fputc(*c, to);
	fprintf(to, ", %s' noenhanced\n", nsdk_profile_date(profile));
	fputs("set logscale x 2\nset logscale y 10\n"
	      "set xlabel 'memory'\nset ylabel 'time'\n"
	      "set xtics ('4 KiB' 4096, '16 KiB' 16384, '64 KiB' 65536, '256 KiB' 262144, "
	      "'1 MiB' 1048576, '4 MiB' 4194304, '16 MiB' 16777216, '64 MiB' 67108864, "
	      "'256 MiB' 268435456, '1 GiB' 1073741824)\n"
	      "set ytics ('10 ns' 1e1, '100 ns' 1e2, '1 us' 1e3, '10 us' 1e4, '100 us' 1e5, "
	      "'1 ms' 1e6, '10 ms' 1e7, '100 ms' 1e8, '1 s' 1e9)\n"
	      "set grid\nset key top left\n",
	      to);
	write_data(to, tables, count);
	write_crossovers(to, profile);
	fputs("plot ", to);
	for (unsigned i = 0; i < count; i++) {
		if (title_of(&tables[i], title, sizeof(title)) == NULL)
			continue;
		fprintf(to, "%s$t%u using 1:2:3:4 with yerrorlines pointtype 7 pointsize 0.4 title '%s'",
			comma, i, title_of(&tables[i], title, sizeof(title)));
		comma = ", ";
	}
	fputs("\n", to);
}

/* @return 0 or -errno; *to is gnuplot's standard input. */
static int start_gnuplot(int picture_fd, pid_t *pid, FILE **to)
{
	char name[] = GNUPLOT, quiet[] = "-";
	char *const argv[] = { name, quiet, NULL };
	posix_spawn_file_actions_t actions;
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, picture_fd, STDOUT_FILENO);
	rc = -posix_spawnp(pid, GNUPLOT, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	if (rc == 0) {
		*to = fdopen(ends[1], "w");
		if (*to != NULL)
			return 0;
		/* It ends by itself at the end of its input. */
		rc = -ENOMEM;
		close(ends[1]);
		waitpid(*pid, NULL, 0);
		return rc;
	}
	close(ends[1]);
	return rc;
}

static int draw(const struct nsdk_profile *profile, int picture_fd)
{
	int status = 0, rc;
	struct stat st;
	FILE *to = NULL;
	pid_t pid = -1;

	rc = start_gnuplot(picture_fd, &pid, &to);
	if (rc != 0)
		return rc;
	write_script(to, profile);
	fclose(to);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || fstat(picture_fd, &st) != 0 ||
	    st.st_size == 0)
		return -EIO;
	return 0;
}

int tune_plot(const struct nsdk_profile *profile, const char *file)
{
	char temporary[PATH_MAX];
	mode_t mask;
	int fd, rc;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", file) >= sizeof(temporary)) {
		tool_say("--plot: the file's name is too long");
		return -ENAMETOOLONG;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		tool_say("%s cannot be written: %s", file, strerror(-rc));
		return rc;
	}
	rc = draw(profile, fd);
	/* mkostemp() makes it private; a picture is an ordinary file. */
	mask = umask(0);
	umask(mask);
	if (rc == 0 && fchmod(fd, 0666 & ~mask) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(temporary, file) != 0)
		rc = -errno;
	if (rc == 0)
		return 0;
	unlink(temporary);
	tool_say("%s was not drawn: %s", file,
		 rc == -EIO ? "gnuplot failed, and said above why" : strerror(-rc));
	return rc;
}
