/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/*
 * Both ends use blocking descriptors, but a guest's virtio port reports EAGAIN or end of file while
 * its other side is not connected yet: those pass.
 */
static int wait_for(int fd, short events)
{
	struct pollfd entry = {.fd = fd, .events = events};

	if (poll(&entry, 1, -1) < 0 && errno != EINTR)
		return -1;
	return 0;
}

int wire_read_all(int fd, void *data, size_t bytes)
{
	char *at = data;

	while (bytes > 0) {
		ssize_t got = read(fd, at, bytes);

		if (got > 0) {
			at += got;
			bytes -= (size_t)got;
		} else if (got == 0) {
			errno = 0;
			return -1;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLIN) < 0)
				return -1;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

int wire_write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t put = write(fd, at, bytes);

		if (put >= 0) {
			at += put;
			bytes -= (size_t)put;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLOUT) < 0)
				return -1;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

int wire_send(int fd, enum wire_type type, const void *data, size_t bytes)
{
	unsigned char frame[WIRE_HEADER_BYTES + WIRE_MAX_BYTES];

	if (bytes > WIRE_MAX_BYTES) {
		errno = EMSGSIZE;
		return -1;
	}
	frame[0] = (unsigned char)type;
	for (int i = 0; i < 4; i++)
		frame[1 + i] = (unsigned char)(bytes >> (8 * i));
	if (bytes > 0)
		memcpy(frame + WIRE_HEADER_BYTES, data, bytes);
	return wire_write_all(fd, frame, WIRE_HEADER_BYTES + bytes);
}

size_t wire_length(const unsigned char header[WIRE_HEADER_BYTES])
{
	size_t bytes = 0;

	for (int i = 0; i < 4; i++)
		bytes |= (size_t)header[1 + i] << (8 * i);
	return bytes;
}

int wire_receive(int fd, enum wire_type *type, void *data)
{
	unsigned char header[WIRE_HEADER_BYTES];
	size_t bytes;

	if (wire_read_all(fd, header, sizeof(header)) < 0)
		return -1;
	bytes = wire_length(header);
	if (bytes > WIRE_MAX_BYTES) {
		errno = EMSGSIZE;
		return -1;
	}
	if (wire_read_all(fd, data, bytes) < 0)
		return -1;
	*type = (enum wire_type)header[0];
	return (int)bytes;
}
