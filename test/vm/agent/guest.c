/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's end of the VM lab: process 1 of a kernel whose root is the host's file system, read
 * only. It has no configuration: it asks the host what to run (wire.h), makes a system around it
 * (system.c), runs it (command.c), and passes on its output and at last its exit status. It
 * never powers off; the host ends QEMU when it has the status.
 *
 * One thread, one poll loop. The descriptors: the wire; a signalfd for children that end (as
 * process 1 it inherits all orphans); the command's two pipes; a socket on which vm-monitor
 * (ask.c, the same program under another name) hands in lines for QEMU's monitor, one at a time.
 *
 * It stays where the kernel looks for it, on the host's disk, so it must not rely on files in
 * places that the guest covers with memory: it is reached through GUEST_HOST_DIR then.
 */
#include "guest.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_DEADLINE_MS 10000
#define SYNC_DEADLINE_MS 3000
#define SPEC_MAX_BYTES (4 << 20)

static struct {
	int wire;
	int signals;
	int out;
	int err;
	int listen;
	int client; /* who waits for the monitor's answer */
	char line[WIRE_MAX_BYTES];
	size_t line_bytes;
	bool asked;
} guest = {.wire = -1, .signals = -1, .out = -1, .err = -1, .listen = -1, .client = -1};

int64_t guest_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	const struct timespec step = {.tv_nsec = ms * 1000000};

	nanosleep(&step, NULL);
}

static _Noreturn void wait_for_the_end(void)
{
	for (;;)
		pause();
}

_Noreturn void guest_fault(const char *format, ...)
{
	char text[1024];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length >= (int)sizeof(text))
		length = sizeof(text) - 1;
	if (guest.wire >= 0 && wire_send(guest.wire, WIRE_FAULT, text, (size_t)length) == 0)
		wait_for_the_end();
	/* The kernel panics when process 1 ends, and the host shows the console then */
	dprintf(STDERR_FILENO, "%s\n", text);
	_exit(1);
}

/* ---- Before the command ---- */

/* The port is found by its name; its device appears while the kernel is still probing */
static int open_port_once(void)
{
	for (int i = 0; i < 32; i++) {
		char path[64], name[64] = "";
		int fd;
		ssize_t got;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/vport%dp%d/name", i / 8,
			 i % 8);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		got = read(fd, name, sizeof(name) - 1);
		close(fd);
		if (got <= 0 || strncmp(name, WIRE_PORT_NAME, strlen(WIRE_PORT_NAME)) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/vport%dp%d", i / 8, i % 8);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	errno = ENODEV;
	return -1;
}

static void open_port(void)
{
	int64_t until_ms = guest_now_ms() + PORT_DEADLINE_MS;
	struct pollfd entry = {.events = POLLOUT};
	int fd;

	while ((fd = open_port_once()) < 0) {
		if (guest_now_ms() >= until_ms)
			guest_fault("the guest finds no port %s", WIRE_PORT_NAME);
		pause_ms(2);
	}
	/* Until the host's side is known to be there a read would say end of file */
	entry.fd = fd;
	while (poll(&entry, 1, 100) < 0 || (entry.revents & POLLHUP)) {
		if (guest_now_ms() >= until_ms)
			guest_fault("the host's end of %s is not there", WIRE_PORT_NAME);
		pause_ms(2);
	}
	guest.wire = fd;
}

static char *receive_spec(size_t *bytes)
{
	char *data = NULL;
	size_t used = 0, room = 0;

	if (wire_send(guest.wire, WIRE_HELLO, NULL, 0) < 0)
		guest_fault("the guest cannot say hello: %s", strerror(errno));
	for (;;) {
		enum wire_type type;
		int got;

		if (room < used + WIRE_MAX_BYTES) {
			char *more;

			room = 2 * (used + WIRE_MAX_BYTES);
			more = room < SPEC_MAX_BYTES ? realloc(data, room) : NULL;
			if (!more) {
				free(data);
				guest_fault("the command is too long");
			}
			data = more;
		}
		got = wire_receive(guest.wire, &type, data + used);
		if (got < 0 || type != WIRE_SPEC)
			guest_fault("the guest got no specification: %s", strerror(errno));
		if (got == 0)
			break;
		used += (size_t)got;
	}
	if (used == 0 || data[used - 1] != '\0')
		guest_fault("the specification has no end");
	*bytes = used;
	return data;
}

/* True if the setting is called that; its value then */
static bool is_setting(char *setting, const char *key, char **value)
{
	size_t length = strlen(key);

	if (strncmp(setting, key, length) != 0 || setting[length] != '=')
		return false;
	*value = setting + length + 1;
	return true;
}

static void parse_spec(char *data, size_t bytes, struct guest_spec *spec)
{
	char *end = data + bytes, *at = data, *value;
	size_t count = 0;

	*spec = (struct guest_spec){.cwd = "/"};
	for (; at < end && strcmp(at, "--") != 0; at += strlen(at) + 1) {
		if (is_setting(at, "cwd", &value))
			spec->cwd = value;
		else if (is_setting(at, "path", &value))
			spec->path = value;
		else if (is_setting(at, "user", &value))
			spec->user = value;
		else if (is_setting(at, "share", &value))
			spec->share = value;
		else if (is_setting(at, "tty", &value))
			spec->tty = value;
		else if (is_setting(at, "disks", &value))
			spec->disks = strtol(value, NULL, 10);
		else if (is_setting(at, "expose", &value) && spec->expose_count < GUEST_MAX_FOLDERS)
			spec->expose[spec->expose_count++] = value;
		else if (is_setting(at, "env", &value) &&
			 spec->variable_count < GUEST_MAX_VARIABLES)
			spec->variables[spec->variable_count++] = value;
		else
			guest_fault("the specification has an odd or too many '%s'", at);
	}
	if (at >= end)
		guest_fault("the specification has no command");
	at += strlen(at) + 1;
	for (char *arg = at; arg < end; arg += strlen(arg) + 1)
		count++;
	spec->argv = calloc(count + 1, sizeof(*spec->argv));
	if (!spec->argv || count == 0)
		guest_fault("the specification has no command");
	for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
		spec->argv[i] = at;
}

static void offer_monitor(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = GUEST_MONITOR_SOCKET};
	char self[PATH_MAX - sizeof(GUEST_HOST_DIR)], link[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = '\0';
	guest.listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (length < 0 || guest.listen < 0)
		guest_fault("the guest cannot offer vm-monitor: %s", strerror(errno));
	snprintf(link, sizeof(link), "%s%s", GUEST_HOST_DIR, self);
	if (symlink(link, GUEST_RUN_DIR "/bin/vm-monitor") < 0 ||
	    bind(guest.listen, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(GUEST_MONITOR_SOCKET, 0666) < 0 || listen(guest.listen, 8) < 0)
		guest_fault("the guest cannot offer vm-monitor: %s", strerror(errno));
}

static void say_ready(void)
{
	char text[32];
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	snprintf(text, sizeof(text), "%ld.%02ld", (long)up.tv_sec, up.tv_nsec / 10000000);
	wire_send(guest.wire, WIRE_READY, text, strlen(text));
}

/* ---- While it runs ---- */

/* Passes on what is there; false at the end of the file or, if it does not block, of the data */
static bool relay(int *fd, enum wire_type type)
{
	char data[WIRE_MAX_BYTES];
	ssize_t got = read(*fd, data, sizeof(data));

	if (got > 0) {
		wire_send(guest.wire, type, data, (size_t)got);
		return true;
	}
	if (got < 0 && errno == EINTR)
		return true;
	if (got == 0) {
		close(*fd);
		*fd = -1;
	}
	return false;
}

/* What the command had written when it ended; what its children write later is nobody's */
static void drain(int *fd, enum wire_type type)
{
	if (*fd < 0)
		return;
	fcntl(*fd, F_SETFL, O_NONBLOCK);
	while (relay(fd, type))
		;
}

static void drop_client(void)
{
	close(guest.client);
	guest.client = -1;
	guest.line_bytes = 0;
	guest.asked = false;
}

/* A client sends its line and closes its half; then the host is asked */
static void hear_client(void)
{
	ssize_t got = read(guest.client, guest.line + guest.line_bytes,
			   sizeof(guest.line) - guest.line_bytes);

	if (got > 0) {
		guest.line_bytes += (size_t)got;
	} else if (got == 0 && guest.line_bytes > 0) {
		guest.asked = true;
		wire_send(guest.wire, WIRE_ASK, guest.line, guest.line_bytes);
	} else if (got == 0 || errno != EINTR) {
		drop_client();
	}
}

static void hear_host(void)
{
	char data[WIRE_MAX_BYTES];
	enum wire_type type;
	int bytes = wire_receive(guest.wire, &type, data);

	if (bytes < 0)
		guest_fault("the guest lost its line to the host: %s", strerror(errno));
	if (type == WIRE_ANSWER && guest.client >= 0) {
		wire_write_all(guest.client, data, (size_t)bytes);
		drop_client();
	}
}

/* Images may outlive the run. A device that was taken away must not hold up the end. */
static void sync_disks(void)
{
	int64_t until_ms = guest_now_ms() + SYNC_DEADLINE_MS;
	pid_t pid = fork();

	if (pid == 0) {
		sync();
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0 && guest_now_ms() < until_ms)
		pause_ms(1);
}

static _Noreturn void finish(int status)
{
	unsigned char byte = (unsigned char)(WIFEXITED(status) ? WEXITSTATUS(status)
							       : 128 + WTERMSIG(status));

	drain(&guest.out, WIRE_OUT);
	drain(&guest.err, WIRE_ERR);
	sync_disks();
	wire_send(guest.wire, WIRE_STATUS, &byte, 1);
	wait_for_the_end();
}

static void reap(pid_t command)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	/* One signal may stand for several children */
	if (read(guest.signals, &info, sizeof(info)) < 0 && errno != EAGAIN)
		guest_fault("the guest cannot read its signals: %s", strerror(errno));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == command)
			finish(status);
}

static _Noreturn void serve(pid_t command)
{
	for (;;) {
		/* poll passes over negative descriptors. A second client waits in the backlog. */
		struct pollfd fds[] = {
			{.fd = guest.signals, .events = POLLIN},
			{.fd = guest.wire, .events = POLLIN},
			{.fd = guest.out, .events = POLLIN},
			{.fd = guest.err, .events = POLLIN},
			{.fd = guest.client < 0 ? guest.listen : -1, .events = POLLIN},
			{.fd = guest.asked ? -1 : guest.client, .events = POLLIN},
		};

		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0) {
			if (errno == EINTR)
				continue;
			guest_fault("the guest cannot poll: %s", strerror(errno));
		}
		if (fds[2].revents)
			relay(&guest.out, WIRE_OUT);
		if (fds[3].revents)
			relay(&guest.err, WIRE_ERR);
		if (fds[1].revents)
			hear_host();
		if (fds[4].revents)
			guest.client = accept4(guest.listen, NULL, NULL, SOCK_CLOEXEC);
		if (fds[5].revents && guest.client >= 0)
			hear_client();
		if (fds[0].revents)
			reap(command);
	}
}

static void catch_children(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	guest.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (guest.signals < 0)
		guest_fault("signalfd: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int out[2] = {-1, -1}, err[2] = {-1, -1};
	struct guest_spec spec;
	pid_t command;
	size_t bytes;
	char *data;

	if (strcmp(name ? name + 1 : argv[0], "vm-monitor") == 0)
		return ask_main(argc, argv);
	if (getpid() != 1) {
		fprintf(stderr, "%s is the first process of the VM lab's guest\n", argv[0]);
		return 2;
	}
	umask(0);
	system_mount_kernel();
	open_port();
	data = receive_spec(&bytes);
	parse_spec(data, bytes, &spec);
	catch_children();
	system_prepare(&spec);
	offer_monitor();
	if (!spec.tty && (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0))
		guest_fault("the guest cannot make pipes: %s", strerror(errno));
	say_ready();
	command = command_start(&spec, out[1], err[1]);
	if (!spec.tty) {
		close(out[1]);
		close(err[1]);
		guest.out = out[0];
		guest.err = err[0];
	}
	serve(command);
}
