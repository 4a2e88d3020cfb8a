/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the guest's process 1 know of each other: guest.c says how they work together */
#ifndef VM_GUEST_H
#define VM_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_RUN_DIR "/run/vm"
#define GUEST_MONITOR_SOCKET GUEST_RUN_DIR "/monitor"
#define GUEST_HOST_DIR "/run/host"
#define GUEST_MAX_FOLDERS 32
#define GUEST_MAX_VARIABLES 256

/* The specification of wire.h, taken apart; the strings point into what was received */
struct guest_spec {
	const char *cwd;
	const char *path;
	const char *user;
	const char *share;
	const char *tty;
	const char *expose[GUEST_MAX_FOLDERS];
	size_t expose_count;
	char *variables[GUEST_MAX_VARIABLES];
	size_t variable_count;
	long disks;
	char **argv;
};

/* Tells the host that the lab cannot run the command, and waits for the end */
_Noreturn void guest_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* system.c: what has to be there before the host can be asked, and what the specification wants */
void system_mount_kernel(void);
void system_prepare(const struct guest_spec *spec);
void system_wait_for_disks(long disks);

/* command.c: the process that is the reason for all this. With a terminal it gets /dev/hvc0,
 * without it out_fd and err_fd. Returns its pid. */
int command_start(const struct guest_spec *spec, int out_fd, int err_fd);

/* ask.c: the program vm-monitor */
int ask_main(int argc, char **argv);

int64_t guest_now_ms(void);

#endif
