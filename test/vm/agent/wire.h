/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line between the two ends of the VM lab: `host`, which runs QEMU, and `guest`, which is
 * process 1 inside. It is one virtio-serial port, and everything crosses it in frames of a type, a
 * length and that many bytes, so that output is exact to the byte and the command's exit status
 * cannot overtake the last of its output.
 */
#ifndef VM_WIRE_H
#define VM_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* QEMU inherits these two: the chardevs of the port and of its QMP monitor. */
#define WIRE_FD 3
#define QMP_FD 4

#define WIRE_PORT_NAME "nsdk.wire"
#define WIRE_MAX_BYTES 16384
#define WIRE_HEADER_BYTES 5

enum wire_type {
	WIRE_HELLO = 'h',   /* guest → host: the guest is up and asks for its specification */
	WIRE_SPEC = 'S',    /* host → guest: what to run, see below; the answer to that */
	WIRE_READY = 'r',   /* guest → host: the command starts now; text: seconds since boot */
	WIRE_OUT = 'o',	    /* guest → host: the command's standard output */
	WIRE_ERR = 'e',	    /* guest → host: the command's standard error */
	WIRE_ASK = 'm',	    /* guest → host: a line for QEMU's monitor */
	WIRE_ANSWER = 'M',  /* host → guest: a byte, 0 or 1 for an error, then the monitor's text */
	WIRE_FAULT = 'x',   /* guest → host: the lab could not run the command; a sentence; last */
	WIRE_STATUS = 's',  /* guest → host: the command's exit status, one byte; last */
};

/*
 * The specification is a sequence of strings, each ended by a NUL: settings "key=value" in any
 * order, then "--", then the command's arguments.
 *
 *   cwd=DIR        where the command runs
 *   path=DIRS      put before the usual PATH
 *   user=NAME      whom it runs as; root if absent
 *   env=NAME=VALUE one variable of its environment; repeated
 *   expose=DIR     a folder of the host that must be seen even below /tmp and the like; repeated
 *   share=DIR      the folder behind the 9p tag "share", mounted writable in its own place
 *   disks=N        wait until the kernel has found this many NVMe disks
 *   tty=ROWSxCOLS  run the command on the terminal /dev/hvc0 instead of the wire
 *
 * A specification may exceed a frame: it is sent in several, the last one empty.
 */

/* Reads or writes all of it; 0, or -1 with errno, or -1 with errno 0 at the end of the file. */
int wire_read_all(int fd, void *data, size_t bytes);
int wire_write_all(int fd, const void *data, size_t bytes);

/* How many bytes follow this header */
size_t wire_length(const unsigned char header[WIRE_HEADER_BYTES]);

/* One frame. wire_receive needs room for WIRE_MAX_BYTES and returns the length, or -1. */
int wire_send(int fd, enum wire_type type, const void *data, size_t bytes);
int wire_receive(int fd, enum wire_type *type, void *data);

#endif
