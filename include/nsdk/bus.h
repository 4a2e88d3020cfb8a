/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A device, however it is reached: a PCI function through VFIO, or a model in this process.
 *
 * A driver sees this interface only: never a VFIO file descriptor, an ioctl or a socket.
 *
 * Device words: `pci:0000:00:03.0` (or the bare address), `emu:nvme[,option=value]…`.
 */
#ifndef NSDK_BUS_H
#define NSDK_BUS_H

#include <nsdk/iommu.h>
#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_device;

/** What nsdk_device_attach() may be told; all zero is a good default. */
struct nsdk_device_opts {
	size_t opts_bytes;        /**< sizeof(struct nsdk_device_opts) */
	struct nsdk_iommu *iommu; /**< NULL: one shared by all devices of the process that say NULL */
	struct nsdk_ioas *ioas;   /**< NULL: an address space of its own (the safest) */
	bool bind;                /**< bind to vfio-pci for as long as it is attached, then restore */
	/** The program has a SIGBUS handler of its own, which calls nsdk_sigbus_handle() */
	bool no_sigbus_handler;
};

/**
 * Take a device: open it, put it into an I/O address space, ask the snoop verdict.
 *
 * Bus mastering is off and no interrupt is armed afterwards. A device without an IOMMU is refused.
 *
 * @param spec  device words, see the top of this file.
 * @param opts  NULL for defaults.
 * @return 0; -EINVAL words not understood; -ENODEV none there; -EBUSY bound to another driver or
 *         opened by another process; -EACCES no permission; -EPERM no IOMMU; other -errno. One
 *         sentence that says what to do has been logged; nothing is left changed.
 * Threading: one thread; the device may be used by several afterwards as each call says.
 */
int nsdk_device_attach(const char *spec, const struct nsdk_device_opts *opts,
		       struct nsdk_device **out);

/** Stop its DMA (bus mastering off), reset it, leave the address space, close, restore. NULL is fine. */
void nsdk_device_detach(struct nsdk_device *dev);

/** The device words in full form, "pci:0000:00:03.0". */
const char *nsdk_device_name(const struct nsdk_device *dev);

/** The address space the device is in. */
struct nsdk_ioas *nsdk_device_ioas(struct nsdk_device *dev);

/** "vfio-cdev", "vfio-group" or "emu". */
const char *nsdk_device_bus_name(const struct nsdk_device *dev);

/** NUMA node, or -1 when unknown. */
int nsdk_device_numa_node(const struct nsdk_device *dev);

/** The verdict found at attach. */
const struct nsdk_snoop_verdict *nsdk_device_verdict(const struct nsdk_device *dev);

/**
 * Whether the device has vanished: the kernel wants it back, its registers read all ones, or they are
 * no longer mapped (see nsdk_sigbus_handle()). For good: a device that comes back is attached anew.
 * Cheap; any thread.
 */
bool nsdk_device_is_gone(const struct nsdk_device *dev);

/**
 * Ask the kernel whether the device is about to be removed (hot-unplug, unbind) or has failed, and the
 * device whether it still answers, and mark it as gone then. The kernel waits with the removal until
 * the device is detached.
 *
 * @return as nsdk_device_is_gone(). Three system calls: for a timed poller, a few times a second.
 * Source: VFIO_PCI_REQ_IRQ_INDEX and VFIO_PCI_ERR_IRQ_INDEX (linux/vfio.h).
 */
bool nsdk_device_check(struct nsdk_device *dev);

/**
 * Hand over a SIGBUS. The kernel unmaps the registers of a device whose memory decoding is switched off
 * or that is powered down, and who touches them then gets this signal. When it is of a BAR that this
 * library has mapped, the BAR is made to read all ones, the device is marked as gone, and the
 * instruction can be tried again.
 *
 * The library does so by itself: from the first mapping of a hardware device's BAR to the last detach it
 * has a handler of its own, which passes on to the one that was there before what is not of a BAR. Only
 * a program that sets a handler of its own after that, or says no_sigbus_handler, has to call this, from
 * that handler, with what siginfo_t says.
 *
 * @param code     si_code of the signal's siginfo_t.
 * @param address  si_addr of the signal's siginfo_t.
 * @return true: mended, return from the handler; false: it is not of a BAR.
 * Threading: any; async-signal-safe; changes errno.
 * Source: sigaction(2), BUS_ADRERR and BUS_OBJERR.
 */
bool nsdk_sigbus_handle(int code, void *address);

/** Read or write config space, little endian, 1, 2 or 4 bytes. @return 0 or -errno. Not for I/O paths. */
int nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out);
/** The write to nsdk_device_cfg_read(). */
int nsdk_device_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value);

/** Offset of a capability in config space (PCI_CAP_ID_* of linux/pci_regs.h), or -ENOENT. */
int nsdk_device_cfg_find_cap(struct nsdk_device *dev, uint8_t cap_id);

/** Allow or forbid the device to start DMA (PCI Command bit 2). */
int nsdk_device_set_bus_master(struct nsdk_device *dev, bool on);

/** A BAR as mapped into this process. */
struct nsdk_bar {
	volatile void *base; /**< uncached device memory; emulated: the model's registers, see below */
	size_t bytes;        /**< its size */
};

/**
 * Map a memory BAR. Valid until detach.
 *
 * Stores to doorbells go straight to @p base. Control registers are to be read and written by
 * nsdk_device_read32() and its kin, so that a model can answer.
 *
 * @return 0; -ENOENT no such BAR; -EINVAL not a memory BAR; other -errno.
 */
int nsdk_device_bar(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out);

/**
 * Whether a piece of a memory BAR can be used as memory: it is inside, mapped without a gap (kernels before
 * 4.16 leave one around the MSI-X table), and has neither that table nor its pending bits in it. Maps the
 * BAR. For who is told by the device itself where its memory is.
 *
 * @return 0; -ERANGE it runs over the BAR's end; -EACCES not all of it is mapped; -EADDRINUSE MSI-X is there;
 *         those of nsdk_device_bar() and nsdk_device_cfg_read(), which alone are logged.
 * Source: PCI Express 7.7.2 (MSI-X Capability and Table Structure).
 */
int nsdk_device_bar_check(struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes);

/** Control register access, in host order. A vanished device reads as all ones. */
uint32_t nsdk_device_read32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset);
/** The same, 64 bits wide. */
uint64_t nsdk_device_read64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset);
/** A write; none to a vanished device. */
void nsdk_device_write32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			 uint32_t value);
/** The same, 64 bits wide. */
void nsdk_device_write64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			 uint64_t value);

/**
 * Copy into or out of memory behind a BAR, as a device's own buffers are. Whole aligned words as far as that
 * goes and bytes at the ends, each once and in ascending order, as uncached memory wants it: the C library's
 * memcpy() may use what faults there (unaligned accesses, cache instructions).
 * Threading: any; nobody else touches the range meanwhile.
 */
void nsdk_bar_copy_to(volatile void *bar_memory, const void *from, size_t bytes);
/** The other way round. */
void nsdk_bar_copy_from(void *to, const volatile void *bar_memory, size_t bytes);

/** Number of MSI-X vectors, 0 when there are none. */
unsigned nsdk_device_irq_count(struct nsdk_device *dev);

/**
 * Arm MSI-X: vector i signals eventfd @p eventfds[i].
 *
 * @param eventfds  @p count of them; -1 leaves a vector unarmed. The caller owns them.
 * @param count     1 … nsdk_device_irq_count().
 */
int nsdk_device_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count);
/** Disarm all vectors. @return 0 or -errno. */
int nsdk_device_irq_disable(struct nsdk_device *dev);

/**
 * Arm or disarm one of the vectors that nsdk_device_irq_enable() was given, and leave the others alone:
 * a disarmed one is masked. Not for I/O paths: a system call, and the kernel sets up an interrupt.
 *
 * @param eventfd  the caller's; -1: none.
 * @return 0; -EINVAL not one of those; other -errno. Logged.
 * Threading: any thread, for different vectors at the same time.
 */
int nsdk_device_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd);

/** How many nsdk_device_notices() gives at most. */
#define NSDK_DEVICE_NOTICES 2

/**
 * File descriptors that become readable when nsdk_device_check() has something to tell, for who waits
 * instead of asking. Add them edge triggered (EPOLLET), and do not read them: the check does.
 *
 * @param fds  room for NSDK_DEVICE_NOTICES; they are the device's, and live as long as it is attached.
 * @return how many there are.
 */
unsigned nsdk_device_notices(struct nsdk_device *dev, int *fds);

/**
 * Whether the device works while nobody calls nsdk_device_poll(), so that its interrupts can be waited
 * for: hardware does, and a model that has a thread of its own.
 */
bool nsdk_device_works_alone(const struct nsdk_device *dev);

/**
 * Function-level reset. Bus mastering is off afterwards; other config space, armed interrupts and
 * Enable No Snoop among it, is as before.
 *
 * @return 0; -EOPNOTSUPP the function has none; other -errno. A sentence has been logged.
 * Source: VFIO_DEVICE_RESET (linux/vfio.h).
 */
int nsdk_device_reset(struct nsdk_device *dev);

/**
 * Let a model in this process do a bit of work; nothing for hardware. Drivers call it from their
 * poll functions; it is safe from several threads at once.
 */
void nsdk_device_poll(struct nsdk_device *dev);

/**
 * Whether nsdk_device_poll() does anything for this device; constant while it is attached, so that a
 * driver can leave the call out of its shortest poll.
 */
bool nsdk_device_wants_poll(const struct nsdk_device *dev);

#ifdef __cplusplus
}
#endif
#endif
