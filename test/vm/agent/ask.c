/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm-monitor COMMAND… gives a line to the monitor of the QEMU that runs this guest, and prints the
 * answer: `vm-monitor device_del disk1`. The status is 1 when the monitor complained.
 */
#include "guest.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int ask_main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = GUEST_MONITOR_SOCKET};
	char data[WIRE_MAX_BYTES];
	size_t used = 0;
	int fd;

	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		fprintf(argc < 2 ? stderr : stdout,
			"usage: vm-monitor COMMAND…\n\n"
			"Gives COMMAND to the monitor of the QEMU around this guest, for instance\n"
			"device_del, device_add or info pci, and prints its answer.\n");
		return argc < 2 ? 2 : 0;
	}
	for (int i = 1; i < argc; i++) {
		int put = snprintf(data + used, sizeof(data) - used, "%s%s", i > 1 ? " " : "",
				   argv[i]);

		if (put < 0 || used + (size_t)put >= sizeof(data)) {
			fprintf(stderr, "vm-monitor: the command is too long\n");
			return 2;
		}
		used += (size_t)put;
	}
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		fprintf(stderr, "vm-monitor: %s: %s (it works inside of the VM lab only)\n",
			GUEST_MONITOR_SOCKET, strerror(errno));
		return 1;
	}
	if (wire_write_all(fd, data, used) < 0 || shutdown(fd, SHUT_WR) < 0 ||
	    wire_read_all(fd, data, 1) < 0) {
		fprintf(stderr, "vm-monitor: no answer\n");
		return 1;
	}
	for (;;) {
		char text[4096];
		ssize_t got = read(fd, text, sizeof(text));

		if (got <= 0)
			break;
		if (wire_write_all(data[0] ? STDERR_FILENO : STDOUT_FILENO, text, (size_t)got) < 0)
			break;
	}
	return data[0] ? 1 : 0;
}
