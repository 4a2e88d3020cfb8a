# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Reading and writing with verification where no-snoop is permitted: both ways to the IOMMU, both
# policies, and disks that are unlike each other.
#
# vm: --iommu=intel --nvme --nvme=logical_block_size=4096,physical_block_size=4096
# vm: --nvme=mdts=1 --nvme=max_ioqpairs=1 --nvme
# timeout: 300

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
lab_checks intel 5
need_nsdk

plain=0000:00:03.0
lba4k=0000:00:04.0
small_mdts=0000:00:05.0
one_queue=0000:00:06.0
second=0000:00:07.0

perf "perf through iommufd" '.ios == 1200 and .verdict.state == "permitted"' \
	$plain --rw=randrw --verify --number_ios=1200 --iodepth=16
same "perf gives the device back" nvme "$(driver_of $plain)"
NSDK_IOMMU=type1 perf "perf through type1" '.ios == 1200 and .verdict.state == "permitted"' \
	$plain --rw=randrw --verify --number_ios=1200 --iodepth=16
perf "perf on the no-snoop path" \
	'.policy == "nosnoop" and .verdict.state == "permitted" and .coherence.lines_written_back > 0
		and .coherence.lines_invalidated > 0' \
	$plain --rw=randrw --verify --policy=nosnoop --number_ios=1200 --iodepth=16
NSDK_IOMMU=type1 perf "perf on the no-snoop path through type1" \
	'.policy == "nosnoop" and .coherence.lines_written_back > 0' \
	$plain --rw=randrw --verify --policy=nosnoop --number_ios=800 --iodepth=16
perf "perf, --policy=auto" '.verdict.state == "permitted"' \
	$plain --rw=randrw --verify --policy=auto --number_ios=800
perf "perf, the coherent path flushes nothing" \
	'.policy == "coherent" and .coherence.lines_written_back == 0' \
	$plain --rw=randread --number_ios=800
perf "perf, 4096-byte blocks" '.ios == 800' \
	$lba4k --rw=randrw --verify --number_ios=800 --iodepth=8
perf "perf, MDTS of two pages, I/O that has to be split" '.ios == 300' \
	$small_mdts --rw=randrw --verify --bs=64k --number_ios=300 --iodepth=8
perf "perf, a single I/O queue" '.ios == 800' \
	$one_queue --rw=randrw --verify --number_ios=800 --iodepth=32
refuses "perf, more jobs than I/O queues" 1 'queue' \
	nsdk perf $one_queue --rw=randread --numjobs=2 --number_ios=100
perf "perf, two controllers at once on two lcores" '.ios == 800' \
	$plain $second --rw=randrw --verify --cpus_allowed=0-1 --number_ios=800 --iodepth=8
same "perf, two controllers: two results" 2 "$(jq "${results:?} | length" "$WORK/perf.json")"
# Asleep until the device's interrupt: while it lasts the kernel lists it.
for how in iommufd type1; do
	NSDK_IOMMU=$how perf "perf, interrupt mode, $how" \
		'.ios == 500 and .options.mode == "interrupt" and .lcores[0].sleeps > 0' \
		$plain --rw=randrw --verify --number_ios=500 --iodepth=4 --mode=interrupt
	same "perf, interrupt mode, $how: no interrupt was missed" '' "$(grep 'did not come' "$WORK/err")"
done
perf "perf, adaptive mode, on the no-snoop path" '.policy == "nosnoop" and .lcores[0].sleeps > 0' \
	$plain --rw=randrw --verify --policy=nosnoop --number_ios=300 --mode=adaptive --thinktime=1ms
# interrupts PATTERN
interrupts() { awk -v which="$1" '$0 ~ which { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts; }
# The controller has an event to tell: a doorbell of a queue that it does not have was rung (Base 5.2, figure 146).
ring_wrong_doorbell()
{
	python3 -IS -c 'import mmap, os, sys
bar = mmap.mmap(os.open("/sys/bus/pci/devices/%s/resource0" % sys.argv[1], os.O_RDWR | os.O_SYNC), 0x2000)
memoryview(bar).cast("I")[(0x1000 + (2 * 60 + 1) * 4) // 4] = 0' "$1"
}
ticks_per_s=$(getconf CLK_TCK)
# cpu_ms MODE INTERRUPTS MS : what an I/O now and then costs, for some seconds and until it has had so many
# interrupts and so much of the processor: then it does I/O. The most interrupts that were seen are in $seen;
# those of an event, where any are waited for, in $told
cpu_ms()
{
	local pid now user system begin=$SECONDS before rung=no
	nsdk perf $plain --rw=randread --runtime=90 --time_based --thinktime=20ms --mode="$1" --json="$WORK/perf.json" \
		>"$WORK/out" 2>"$WORK/err" &
	pid=$!
	seen=0 ms=0 told=0
	while read -r _ _ _ _ _ _ _ _ _ _ _ _ _ user system _ <"/proc/$pid/stat" && [ -n "$user" ]; do
		ms=$(((user + system) * 1000 / ticks_per_s))
		now=$(interrupts 'vfio-msix')
		[ "$now" -le "$seen" ] || seen=$now
		if [ "$2" -gt 0 ] && [ "$now" -gt 0 ] && [ $rung = no ]; then
			before=$(interrupts "vfio-msix.0..$plain")
			ring_wrong_doorbell $plain
			rung=yes
		fi
		[ $rung = no ] || told=$(($(interrupts "vfio-msix.0..$plain") - before))
		if [ $((SECONDS - begin)) -ge 2 ] && [ "$seen" -ge "$2" ] && [ $ms -ge "$3" ] &&
			[ "$2" -le "$told" ]; then
			kill -INT $pid
			break
		fi
		sleep 0.1
	done 2>/dev/null
	wait $pid
	seconds=$((SECONDS - begin))
}
cpu_ms poll 0 1200
polled="$ms ms in $seconds s"
same "perf, polling: no interrupt" 0 "$seen"
check "perf, polling: never asleep" jq -e '.lcores[0].slept_ns == 0' "$WORK/perf.json"
cpu_ms interrupt 1 0
heard=$(grep -c 'asynchronous event: write to an invalid doorbell' "$WORK/err")
check "perf, interrupt mode: the kernel counts interrupts ($seen seen)" [ "$seen" -gt 0 ]
check "perf, interrupt mode: the kernel counts an event's ($told seen)" [ "$told" -gt 0 ]
same "perf, interrupt mode: and it is heard, once" 1 "$heard"
# Other programs make what is done slower, and no sleep longer.
check "perf, interrupt mode: asleep for a good part; CPU: $ms ms in $seconds s instead of $polled" \
	jq -e '.lcores[0] | 4 * .slept_ns > .busy_ns + .idle_ns' "$WORK/perf.json"
for how in iommufd type1; do
	NSDK_IOMMU=$how probe "doctor --probe, permitted, $how: QEMU snoops, and its bit stays 0" '
		.answer == "snooped" and .device_writes.lines >= 1000 and .device_writes.not_snooped == 0
		and .device_reads.not_snooped == 0 and .policy == "nosnoop" and .restored
		and .verdict.state == "permitted" and .enable_no_snoop == false
		and (.reason | test("stays 0"))' $plain
done
probe "doctor --probe, 4096-byte blocks" '.answer == "snooped" and .block_bytes == 4096 and .restored' \
	$lba4k
# The program of the guide is a driver like any other.
nsdk bind $plain
check "own_driver drives it through VFIO" "$NSDK_BUILD/bin/own_driver" $plain
same "own_driver: the model" "model: 'QEMU NVMe Ctrl" "$(grep -o "^model: 'QEMU NVMe Ctrl" "$WORK/out")"
nsdk unbind $plain
for device in $plain $lba4k $small_mdts $one_queue $second; do
	check "the kernel's disk on $device works after all this" kernel_disk_works "$device"
done

finish
