/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of the VM lab: starts QEMU, gives the guest its command, passes the command's
 * output on, and ends with its exit status.
 *
 *	host --spec=FILE --scratch=DIR [--console=FILE] [--qemu-log=FILE] [--timeout=SECONDS]
 *	     [--tty] [--verbose] -- QEMU ARGUMENT…
 *
 * Whatever happens nothing is left behind: QEMU is ended before this program ends and is killed by
 * the kernel if this program is (PDEATHSIG); the scratch folder, which holds the disks that were
 * made for this run, is removed.
 *
 * When it is the lab that failed and not the command, the status is 125 and standard error says why
 * in one sentence, followed by the end of the guest's console.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LAB_FAILED 125
#define QEMU_END_MS 5000
#define CONSOLE_TAIL_LINES 30
/* A pipe that poll() calls writable takes this much without blocking, so a deadline stays one */
#define OUTPUT_STEP_BYTES 4096

static struct {
	const char *spec;
	const char *scratch;
	const char *console;
	const char *qemu_log;
	bool verbose;
	bool tty;
	int64_t deadline_ms; /* 0: none */
	long timeout_s;
	int64_t start_ms;

	pid_t qemu; /* 0 when it has ended */
	int qemu_status;
	int signals;
	int wire;
	int qmp;

	char *qmp_line; /* what was read of the monitor's next line */
	size_t qmp_used;
	size_t qmp_room;

	bool terminal_saved;
	struct termios terminal;
} lab;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Ending ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

/* Waits for QEMU until then; true if it has ended. Signals stay blocked: a second ^C changes
 * nothing here. */
static bool qemu_ends_by(int64_t until_ms)
{
	const struct timespec step = {.tv_nsec = 2000000};

	while (lab.qemu > 0) {
		pid_t pid = waitpid(lab.qemu, &lab.qemu_status, WNOHANG);

		if (pid == lab.qemu || (pid < 0 && errno == ECHILD)) {
			lab.qemu = 0;
			break;
		}
		if (now_ms() >= until_ms)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

static _Noreturn void end(int status)
{
	if (lab.qemu > 0) {
		/* Orderly, so that the images that outlive the run are flushed and closed */
		kill(lab.qemu, SIGTERM);
		if (!qemu_ends_by(now_ms() + QEMU_END_MS)) {
			kill(lab.qemu, SIGKILL);
			qemu_ends_by(now_ms() + QEMU_END_MS);
		}
	}
	if (lab.terminal_saved)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &lab.terminal);
	if (lab.scratch)
		nftw(lab.scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	exit(status);
}

/* The last lines of a file, to standard error */
static void show_tail(const char *title, const char *path)
{
	FILE *file = path ? fopen(path, "re") : NULL;
	long starts[CONSOLE_TAIL_LINES];
	size_t lines = 0;
	int c, last = '\n';

	if (!file)
		return;
	for (long at = 0; (c = getc(file)) != EOF; at++) {
		if (last == '\n')
			starts[lines++ % CONSOLE_TAIL_LINES] = at;
		last = c;
	}
	if (lines > 0) {
		size_t first = lines > CONSOLE_TAIL_LINES ? lines % CONSOLE_TAIL_LINES : 0;

		fprintf(stderr, "--- %s\n", title);
		if (fseek(file, starts[first], SEEK_SET) == 0) {
			while ((c = getc(file)) != EOF)
				if (c != '\r')
					fputc(c, stderr);
		}
		fprintf(stderr, "%s---\n", last == '\n' ? "" : "\n");
	}
	fclose(file);
}

static _Noreturn __attribute__((format(printf, 1, 2))) void lab_failed(const char *format, ...)
{
	va_list args;

	/* No more of the guest's lines after the sentence, and no more on its console either */
	if (lab.qemu > 0)
		kill(lab.qemu, SIGSTOP);
	fflush(stdout);
	fputs("vm: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	show_tail("QEMU said", lab.qemu_log);
	show_tail("the guest's console", lab.console);
	if (lab.qemu > 0) {
		kill(lab.qemu, SIGCONT);
		kill(lab.qemu, SIGKILL);
	}
	end(LAB_FAILED);
}

/* QEMU has ended and nobody asked it to: the console knows whether the kernel panicked */
static _Noreturn void guest_died(void)
{
	FILE *file = lab.console ? fopen(lab.console, "re") : NULL;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		char *panic = strstr(line, "Kernel panic - not syncing: ");

		if (panic) {
			fclose(file);
			panic[strcspn(panic, "\r\n")] = '\0';
			lab_failed("the guest's kernel panicked: %s",
				   panic + strlen("Kernel panic - not syncing: "));
		}
	}
	if (file)
		fclose(file);
	if (!qemu_ends_by(now_ms() + QEMU_END_MS))
		lab_failed("the guest closed its line before the command was done");
	if (WIFSIGNALED(lab.qemu_status))
		lab_failed("QEMU was killed by signal %d (%s) before the command was done",
			   WTERMSIG(lab.qemu_status), strsignal(WTERMSIG(lab.qemu_status)));
	if (WEXITSTATUS(lab.qemu_status) != 0)
		lab_failed("QEMU ended with status %d before the command was done",
			   WEXITSTATUS(lab.qemu_status));
	lab_failed("the guest was powered off or reset before the command was done");
}

static _Noreturn void out_of_time(void)
{
	lab_failed("the command was not done after %ld s (--timeout)", lab.timeout_s);
}

/* ---- Waiting ---- */

/* Waits until the descriptor is ready; ends the run on a signal or at the deadline */
static void wait_until(int fd, short events)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = fd, .events = events},
			{.fd = lab.signals, .events = POLLIN},
		};
		int timeout_ms = -1;

		if (lab.deadline_ms) {
			int64_t left_ms = lab.deadline_ms - now_ms();

			if (left_ms <= 0)
				out_of_time();
			timeout_ms = left_ms > 1000000 ? 1000000 : (int)left_ms;
		}
		if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
			lab_failed("poll: %s", strerror(errno));
		if (fds[1].revents) {
			struct signalfd_siginfo info;

			if (read(lab.signals, &info, sizeof(info)) == sizeof(info))
				end(128 + (int)info.ssi_signo);
		}
		if (fds[0].revents)
			return;
	}
}

static void put_output(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		size_t step = bytes < OUTPUT_STEP_BYTES ? bytes : OUTPUT_STEP_BYTES;
		ssize_t put;

		wait_until(fd, POLLOUT);
		put = write(fd, data, step);
		if (put < 0 && errno != EINTR && errno != EAGAIN) {
			if (errno == EPIPE) /* as if SIGPIPE had ended us */
				end(128 + SIGPIPE);
			lab_failed("writing the command's output: %s", strerror(errno));
		}
		if (put > 0) {
			data += put;
			bytes -= (size_t)put;
		}
	}
}

/* ---- QEMU's monitor ----
 * QMP carries one JSON object a line. Only two shapes matter here: {"return": …} and
 * {"error": {… "desc": "…"}}; events lie between and are passed over.
 */

static char *qmp_read_line(void)
{
	for (;;) {
		char *newline = lab.qmp_used ? memchr(lab.qmp_line, '\n', lab.qmp_used) : NULL;
		ssize_t got;

		if (newline) {
			size_t bytes = (size_t)(newline - lab.qmp_line) + 1;
			char *line = strndup(lab.qmp_line, bytes);

			memmove(lab.qmp_line, newline + 1, lab.qmp_used - bytes);
			lab.qmp_used -= bytes;
			return line;
		}
		if (lab.qmp_used == lab.qmp_room) {
			lab.qmp_room = lab.qmp_room ? 2 * lab.qmp_room : 4096;
			lab.qmp_line = realloc(lab.qmp_line, lab.qmp_room);
			if (!lab.qmp_line)
				lab_failed("out of memory");
		}
		wait_until(lab.qmp, POLLIN);
		got = read(lab.qmp, lab.qmp_line + lab.qmp_used, lab.qmp_room - lab.qmp_used);
		if (got == 0 || (got < 0 && errno != EINTR))
			return NULL;
		if (got > 0)
			lab.qmp_used += (size_t)got;
	}
}

/* Undoes JSON's escapes of the string that starts behind `from`, into `to`; the length */
static size_t json_string(const char *from, char *to, size_t room)
{
	size_t used = 0;

	for (; *from && *from != '"' && used + 1 < room; from++) {
		char c = *from;

		if (c == '\\') {
			unsigned int code;

			switch (*++from) {
			case 'n':
				c = '\n';
				break;
			case 'r':
				continue;
			case 't':
				c = '\t';
				break;
			case 'u':
				c = '?';
				if (sscanf(from + 1, "%4x", &code) == 1 && code < 0x80)
					c = (char)code;
				for (int i = 0; i < 4 && from[1]; i++)
					from++;
				break;
			case '\0':
				from--;
				continue;
			default:
				c = *from;
			}
		}
		to[used++] = c;
	}
	to[used] = '\0';
	return used;
}

static void qmp_command(const char *json, char *answer, size_t room, bool *error)
{
	char *line;

	if (wire_write_all(lab.qmp, json, strlen(json)) < 0)
		guest_died();
	while ((line = qmp_read_line())) {
		const char *text = NULL;

		*error = strncmp(line, "{\"error\":", 9) == 0;
		if (*error || strncmp(line, "{\"return\":", 10) == 0) {
			text = *error ? strstr(line, "\"desc\": \"") : strchr(line + 9, '"');
			if (*error && text)
				text += strlen("\"desc\": ");
			answer[0] = '\0';
			if (text)
				json_string(text + 1, answer, room);
			free(line);
			return;
		}
		free(line);
	}
	guest_died();
}

static void ask_monitor(const char *command, size_t bytes)
{
	static const char head[] = "{\"execute\":\"human-monitor-command\",\"arguments\":"
				   "{\"command-line\":\"";
	char answer[WIRE_MAX_BYTES];
	char *json = malloc(sizeof(head) + 6 * bytes + 8);
	bool error = false;
	size_t used;

	if (!json)
		lab_failed("out of memory");
	memcpy(json, head, sizeof(head));
	used = strlen(head);
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)command[i];

		if (c == '"' || c == '\\')
			used += (size_t)sprintf(json + used, "\\%c", c);
		else if (c < 0x20)
			used += (size_t)sprintf(json + used, "\\u%04x", c);
		else
			json[used++] = (char)c;
	}
	memcpy(json + used, "\"}}\n", 5);
	qmp_command(json, answer + 1, sizeof(answer) - 1, &error);
	free(json);
	/* HMP has no status of its own: a complaint starts with this word */
	if (strncmp(answer + 1, "Error", 5) == 0)
		error = true;
	answer[0] = error ? 1 : 0;
	if (wire_send(lab.wire, WIRE_ANSWER, answer, 1 + strlen(answer + 1)) < 0)
		guest_died();
}

/* ---- The run ---- */

static void send_spec(void)
{
	char data[WIRE_MAX_BYTES];
	FILE *file = fopen(lab.spec, "re");
	size_t got;

	if (!file)
		lab_failed("%s: %s", lab.spec, strerror(errno));
	do {
		got = fread(data, 1, sizeof(data), file);
		if (wire_send(lab.wire, WIRE_SPEC, data, got) < 0)
			guest_died();
	} while (got > 0);
	fclose(file);
}

/* A guest may stop in the middle of a frame: every read is under the deadline */
static void receive(void *data, size_t bytes)
{
	char *at = data;

	while (bytes > 0) {
		ssize_t got;

		wait_until(lab.wire, POLLIN);
		got = read(lab.wire, at, bytes);
		if (got == 0 || (got < 0 && errno != EINTR))
			guest_died();
		if (got > 0) {
			at += got;
			bytes -= (size_t)got;
		}
	}
}

static _Noreturn void serve(void)
{
	for (;;) {
		unsigned char header[WIRE_HEADER_BYTES];
		char data[WIRE_MAX_BYTES + 1];
		size_t bytes;

		receive(header, sizeof(header));
		bytes = wire_length(header);
		if (bytes > WIRE_MAX_BYTES)
			lab_failed("the guest sent a frame of %zu bytes", bytes);
		receive(data, bytes);
		data[bytes] = '\0';
		switch ((enum wire_type)header[0]) {
		case WIRE_HELLO:
			send_spec();
			break;
		case WIRE_READY:
			if (lab.verbose)
				fprintf(stderr, "vm: up in %.2f s, %s s of them the guest's\n",
					(double)(now_ms() - lab.start_ms) / 1000, data);
			break;
		case WIRE_OUT:
			put_output(STDOUT_FILENO, data, bytes);
			break;
		case WIRE_ERR:
			put_output(STDERR_FILENO, data, bytes);
			break;
		case WIRE_ASK:
			ask_monitor(data, bytes);
			break;
		case WIRE_FAULT:
			lab_failed("%s", data);
		case WIRE_STATUS:
			end((unsigned char)data[0]);
		default:
			lab_failed("the guest sent a frame of unknown type %d", header[0]);
		}
	}
}

static void start_qemu(char **argv)
{
	int wire[2], qmp[2];
	pid_t parent = getpid();
	sigset_t none;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0)
		lab_failed("socketpair: %s", strerror(errno));
	lab.qemu = fork();
	if (lab.qemu < 0)
		lab_failed("fork: %s", strerror(errno));
	if (lab.qemu == 0) {
		int log = -1, wire_copy, qmp_copy;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(LAB_FAILED);
		if (lab.qemu_log)
			log = open(lab.qemu_log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		/* Through copies beyond both numbers, for either may be in the other's place */
		wire_copy = fcntl(wire[1], F_DUPFD_CLOEXEC, 16);
		qmp_copy = fcntl(qmp[1], F_DUPFD_CLOEXEC, 16);
		if (log >= 0)
			log = fcntl(log, F_DUPFD_CLOEXEC, 16);
		if (dup2(wire_copy, WIRE_FD) < 0 || dup2(qmp_copy, QMP_FD) < 0)
			_exit(LAB_FAILED);
		if (log >= 0)
			dup2(log, STDERR_FILENO);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(argv[0], argv);
		dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
		_exit(LAB_FAILED);
	}
	close(wire[1]);
	close(qmp[1]);
	lab.wire = wire[0];
	lab.qmp = qmp[0];
}

static void catch_signals(void)
{
	sigset_t set;

	/* A reader that goes away is an error of write(), so that the end is orderly */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	lab.signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (lab.signals < 0)
		lab_failed("signalfd: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, 's'},
		{"scratch", required_argument, NULL, 'd'},
		{"console", required_argument, NULL, 'c'},
		{"qemu-log", required_argument, NULL, 'q'},
		{"timeout", required_argument, NULL, 't'},
		{"tty", no_argument, NULL, 'i'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	char answer[256];
	bool error = false;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 's':
			lab.spec = optarg;
			break;
		case 'd':
			lab.scratch = optarg;
			break;
		case 'c':
			lab.console = optarg;
			break;
		case 'q':
			lab.qemu_log = optarg;
			break;
		case 't':
			lab.timeout_s = strtol(optarg, NULL, 10);
			break;
		case 'i':
			lab.tty = true;
			break;
		case 'v':
			lab.verbose = true;
			break;
		default:
			return 2;
		}
	}
	if (!lab.spec || optind == argc) {
		fprintf(stderr, "usage: host --spec=FILE --scratch=DIR … -- QEMU ARGUMENT…\n");
		return 2;
	}
	lab.start_ms = now_ms();
	if (lab.timeout_s > 0)
		lab.deadline_ms = lab.start_ms + lab.timeout_s * 1000;
	/* QEMU makes the terminal raw, and puts it back only if it is not killed */
	lab.terminal_saved = lab.tty && tcgetattr(STDIN_FILENO, &lab.terminal) == 0;
	catch_signals();
	start_qemu(argv + optind);
	/* The greeting and what else comes before the answer are passed over. A QEMU that refuses
	 * its options ends here, and the end of its monitor is how that shows. */
	qmp_command("{\"execute\":\"qmp_capabilities\"}\n", answer, sizeof(answer), &error);
	if (error)
		lab_failed("QEMU's monitor: %s", answer);
	serve();
}
