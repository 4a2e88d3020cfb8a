/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The WBINVD gate through KVM.
 *
 * A virtual machine that has been given a device whose DMA is not forced to be coherent must be able
 * to write back the CPU's caches, or its own drivers could not work; so KVM then executes a guest's
 * WBINVD for real. We are that guest: a machine with one page of code, `wbinvd; hlt`, and one
 * virtual CPU for each CPU of ours. The VFIO device file, handed to KVM's VFIO device
 * (KVM_DEV_VFIO_FILE_ADD), is the proof: KVM asks VFIO whether that file's DMA is enforced coherent
 * and honours WBINVD only when it is not. No privilege beyond /dev/kvm and the device is needed.
 *
 * KVM writes back every CPU on which the virtual CPU has been loaded since its last WBINVD
 * (wbinvd_dirty_mask). Each virtual CPU therefore belongs to one thread that is pinned to one CPU for
 * all its life, made there and run there: the mask is that CPU and no other.
 *
 * Where the proof does not convince KVM it skips the instruction, and the guest cannot see the
 * difference. What lets us believe an execution is, in this order: the verdict (asked of the same
 * kernel, by the caller), the acceptance of the file, the exit at HLT behind the instruction, and
 * gate.c's look at whether lines really left the cache.
 *
 * Source: Documentation/virt/kvm/devices/vfio.rst, linux/kvm.h; arch/x86/kvm/x86.c
 * kvm_emulate_wbinvd_noskip(), virt/kvm/vfio.c kvm_vfio_update_coherency().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "gate.h"

#if defined(__x86_64__)

#include <linux/kvm.h>

#define GUEST_CODE_ADDR 0x1000u
#define GUEST_PAGE_BYTES 4096u

struct kvm_vcpu {
	int fd; /* -1: not made yet; made by the thread pinned to its CPU */
	struct kvm_run *run;
};

struct kvm_gate {
	int kvm_fd;
	int vm_fd;
	int vfio_fd; /* KVM's VFIO pseudo device */
	size_t run_bytes;
	uint8_t *page;
	struct kvm_vcpu vcpus[NSDK_MAX_CPUS];
};

static void explain(char *reason, size_t reason_bytes, const char *what)
{
	snprintf(reason, reason_bytes, "%s: %s", what, strerror(errno));
}

static void kvm_close(void *priv)
{
	struct kvm_gate *gate = priv;

	for (unsigned cpu = 0; cpu < NSDK_MAX_CPUS; cpu++) {
		if (gate->vcpus[cpu].run != NULL)
			munmap(gate->vcpus[cpu].run, gate->run_bytes);
		if (gate->vcpus[cpu].fd >= 0)
			close(gate->vcpus[cpu].fd);
	}
	if (gate->vfio_fd >= 0)
		close(gate->vfio_fd);
	if (gate->vm_fd >= 0)
		close(gate->vm_fd);
	if (gate->kvm_fd >= 0)
		close(gate->kvm_fd);
	if (gate->page != MAP_FAILED)
		munmap(gate->page, GUEST_PAGE_BYTES);
	free(gate);
}

static int make_vm(struct kvm_gate *gate, char *reason, size_t reason_bytes)
{
	static const uint8_t code[] = {
		0x0f, 0x09, /* wbinvd */
		0xf4,       /* hlt: leaves to us */
		0xeb, 0xfb, /* jmp to the start: the next run does it again */
	};
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = GUEST_CODE_ADDR,
		.memory_size = GUEST_PAGE_BYTES,
	};
	int bytes;

	gate->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (gate->kvm_fd < 0) {
		explain(reason, reason_bytes, "/dev/kvm cannot be opened");
		return -errno;
	}
	bytes = ioctl(gate->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run)) {
		snprintf(reason, reason_bytes, "/dev/kvm is not a KVM that is known here");
		return -EOPNOTSUPP;
	}
	gate->run_bytes = (size_t)bytes;
	gate->vm_fd = ioctl(gate->kvm_fd, KVM_CREATE_VM, 0);
	if (gate->vm_fd < 0) {
		explain(reason, reason_bytes, "KVM makes no virtual machine");
		return -errno;
	}
	if (ioctl(gate->vm_fd, KVM_CREATE_DEVICE, &vfio) != 0) {
		explain(reason, reason_bytes, "KVM was built without its VFIO device");
		return -errno;
	}
	gate->vfio_fd = (int)vfio.fd;
	gate->page = mmap(NULL, GUEST_PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gate->page == MAP_FAILED) {
		explain(reason, reason_bytes, "no memory for the virtual machine");
		return -ENOMEM;
	}
	memcpy(gate->page, code, sizeof(code));
	slot.userspace_addr = (uintptr_t)gate->page;
	if (ioctl(gate->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) != 0) {
		explain(reason, reason_bytes, "KVM does not take the virtual machine's memory");
		return -errno;
	}
	return 0;
}

static int kvm_open(void **priv, const nsdk_cpumask_t *cpus, char *reason, size_t reason_bytes)
{
	struct kvm_gate *gate = calloc(1, sizeof(*gate));
	int rc;

	(void)cpus; /* each virtual CPU is made at its first run, on its own CPU */
	if (gate == NULL) {
		snprintf(reason, reason_bytes, "no memory");
		return -ENOMEM;
	}
	gate->kvm_fd = gate->vm_fd = gate->vfio_fd = -1;
	gate->page = MAP_FAILED;
	for (unsigned cpu = 0; cpu < NSDK_MAX_CPUS; cpu++)
		gate->vcpus[cpu].fd = -1;
	rc = make_vm(gate, reason, reason_bytes);
	if (rc != 0) {
		kvm_close(gate);
		return rc;
	}
	*priv = gate;
	return 0;
}

static int set_file(struct kvm_gate *gate, int device_fd, uint64_t attr)
{
	int32_t fd = device_fd;
	struct kvm_device_attr request = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = attr,
		.addr = (uintptr_t)&fd,
	};

	return ioctl(gate->vfio_fd, KVM_SET_DEVICE_ATTR, &request) == 0 ? 0 : -errno;
}

static int kvm_add_proof(void *priv, int device_fd, char *reason, size_t reason_bytes)
{
	int rc = set_file(priv, device_fd, KVM_DEV_VFIO_FILE_ADD);

	if (rc != 0)
		explain(reason, reason_bytes, "KVM does not take the VFIO device as proof");
	return rc;
}

static void kvm_remove_proof(void *priv, int device_fd)
{
	(void)set_file(priv, device_fd, KVM_DEV_VFIO_FILE_DEL);
}

/* On the CPU itself: a virtual CPU in real mode, about to execute the page from its start. */
static int make_vcpu(struct kvm_gate *gate, struct kvm_vcpu *vcpu, unsigned cpu)
{
	struct kvm_regs regs = { .rip = GUEST_CODE_ADDR, .rflags = 2 /* the bit that is always 1 */ };
	struct kvm_sregs sregs;
	int rc;

	vcpu->fd = ioctl(gate->vm_fd, KVM_CREATE_VCPU, (unsigned long)cpu);
	if (vcpu->fd < 0)
		return -errno;
	vcpu->run = mmap(NULL, gate->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		rc = -ENOMEM;
		goto out_close;
	}
	rc = -EIO;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) != 0)
		goto out_unmap;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) != 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) != 0)
		goto out_unmap;
	return 0;

out_unmap:
	munmap(vcpu->run, gate->run_bytes);
	vcpu->run = NULL;
out_close:
	close(vcpu->fd);
	vcpu->fd = -1;
	return rc;
}

static int kvm_run_on(void *priv, unsigned cpu)
{
	struct kvm_gate *gate = priv;
	struct kvm_vcpu *vcpu = &gate->vcpus[cpu];
	int rc;

	if (vcpu->fd < 0) {
		rc = make_vcpu(gate, vcpu, cpu);
		if (rc != 0)
			return rc;
	}
	/* A signal interrupts before or after the instruction, so only the exit at HLT counts. */
	for (unsigned tries = 0; tries < 16; tries++) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
			return vcpu->run->exit_reason == KVM_EXIT_HLT ? 0 : -EIO;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return -EINTR;
}

#else /* no WBINVD, no gate */

static int kvm_open(void **priv, const nsdk_cpumask_t *cpus, char *reason, size_t reason_bytes)
{
	(void)priv;
	(void)cpus;
	snprintf(reason, reason_bytes, "only x86 has WBINVD");
	return -EOPNOTSUPP;
}

static void kvm_close(void *priv)
{
	(void)priv;
}

static int kvm_add_proof(void *priv, int device_fd, char *reason, size_t reason_bytes)
{
	(void)priv;
	(void)device_fd;
	snprintf(reason, reason_bytes, "only x86 has WBINVD");
	return -EOPNOTSUPP;
}

static void kvm_remove_proof(void *priv, int device_fd)
{
	(void)priv;
	(void)device_fd;
}

static int kvm_run_on(void *priv, unsigned cpu)
{
	(void)priv;
	(void)cpu;
	return -EOPNOTSUPP;
}

#endif

const struct nsdk_gate_ops nsdk_gate_kvm = {
	.name = "kvm",
	.open = kvm_open,
	.close = kvm_close,
	.add_proof = kvm_add_proof,
	.remove_proof = kvm_remove_proof,
	.run = kvm_run_on,
};
