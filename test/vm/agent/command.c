/* SPDX-License-Identifier: BSD-3-Clause */
/* The command: a process in a session of its own, with an environment made for it */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void open_terminal(const char *size)
{
	struct winsize window = {0};
	int fd = open("/dev/hvc0", O_RDWR);

	if (fd < 0)
		_exit(126);
	/* A terminal that does not know its size says 0 */
	sscanf(size, "%hux%hu", &window.ws_row, &window.ws_col);
	if (window.ws_row == 0 || window.ws_col == 0) {
		window.ws_row = 24;
		window.ws_col = 80;
	}
	ioctl(fd, TIOCSWINSZ, &window);
	ioctl(fd, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void set_variables(const struct guest_spec *spec, const struct passwd *who, const char *home)
{
	char path[8192];

	clearenv();
	snprintf(path, sizeof(path), "%s%s%s/bin:%s", spec->path ? spec->path : "",
		 spec->path && *spec->path ? ":" : "", GUEST_RUN_DIR, USUAL_PATH);
	setenv("PATH", path, 1);
	setenv("HOME", home, 1);
	setenv("USER", who->pw_name, 1);
	setenv("LOGNAME", who->pw_name, 1);
	setenv("SHELL", "/bin/bash", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("PWD", spec->cwd, 1);
	setenv("TERM", "dumb", 1);
	setenv("NSDK_VM", "1", 1);
	for (size_t i = 0; i < spec->variable_count; i++)
		putenv(spec->variables[i]);
}

static _Noreturn void run(const struct guest_spec *spec)
{
	const char *name = spec->user ? spec->user : "root";
	struct passwd *who = getpwnam(name);
	char home[256] = "/root";

	if (!who) {
		fprintf(stderr, "vm: there is no user %s\n", name);
		_exit(126);
	}
	if (who->pw_uid != 0) {
		/* The home of the host's user is read-only here */
		snprintf(home, sizeof(home), "/tmp/home-%s", name);
		if (mkdir(home, 0700) < 0 || chown(home, who->pw_uid, who->pw_gid) < 0 ||
		    initgroups(name, who->pw_gid) < 0 || setgid(who->pw_gid) < 0 ||
		    setuid(who->pw_uid) < 0) {
			fprintf(stderr, "vm: cannot become %s: %s\n", name, strerror(errno));
			_exit(126);
		}
	}
	if (chdir(spec->cwd) < 0) {
		fprintf(stderr, "vm: %s: %s\n", spec->cwd, strerror(errno));
		_exit(126);
	}
	set_variables(spec, who, home);
	execvp(spec->argv[0], spec->argv);
	fprintf(stderr, "vm: %s: %s\n", spec->argv[0],
		errno == ENOENT ? "command not found" : strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

int command_start(const struct guest_spec *spec, int out_fd, int err_fd)
{
	sigset_t none;
	pid_t pid = fork();
	int null;

	if (pid < 0)
		guest_fault("the guest cannot fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	if (spec->tty) {
		open_terminal(spec->tty);
	} else {
		null = open("/dev/null", O_RDONLY);
		dup2(null, STDIN_FILENO);
		dup2(out_fd, STDOUT_FILENO);
		dup2(err_fd, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	run(spec);
}
