# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A device that is taken away while it is in use, and comes back.
#
# NSDK_REPLUGS=N says how often in the last part (6).
#
# One processor: with two, QEMU 10 now and then trips over its own map of memory when a device is
# unplugged while the other one does I/O with it. And share-rw, as it does not always let go of the old
# device, whose disk the next one is to have.
#
# vm: --iommu=intel --smp=1 --device=pcie-root-port,id=rp0 --drive=id=hot,size=64M
# vm: --device=nvme,id=plugged,serial=hot,drive=hot,share-rw=on,bus=rp0
# timeout: 400

# shellcheck source=/dev/null
. "$(dirname "$0")/../guest.sh"
need_nsdk

device=0000:01:00.0
plugs=0

# Another one of the same disk
plug()
{
	plugs=$((plugs + 1))
	until_true 60 vm-monitor device_add \
		"nvme,id=plugged$plugs,serial=hot,drive=hot,share-rw=on,bus=rp0"
}

is_out()
{
	[ ! -d /sys/bus/pci/devices/$device ]
}

perf "a device behind a root port" '.ios == 1000' $device --rw=randrw --verify --number_ios=1000
load_begin gone $device --rw=randrw --runtime=1000 --time_based
vm-monitor device_del plugged
if until_true 60 test ! -d "/proc/${load:?}"; then
	wait "${load:?}"
	same "perf ends when its device is gone, with status 1" 1 $?
	same "it says in one sentence that the device is gone" 1 \
		"$(grep -c 'gone\|removed' "$WORK/gone.err")"
	load_result "it prints the result so far" gone '.ios > 0'
else
	not_ok "perf ends when its device is gone" "it runs on after 60 s"
	kill -KILL "${load:?}"
	wait "${load:?}"
fi
check "the kernel is rid of the device" until_true 60 is_out
check "another one is plugged in" plug
check "and the kernel finds it" until_true 60 has_disk $device
perf "and it works" '.ios == 1000' $device --rw=randrw --verify --number_ios=1000

# Again and again, under one program that goes on each time. Not inside of a reset, which QEMU 10 does not
# always survive; test/functional/nvme_gone_test.c does that.
rounds=${NSDK_REPLUGS:-6}
said=$WORK/replug

# What the allocator keeps for later would look as if it grew
GLIBC_TUNABLES=glibc.malloc.tcache_count=0 "$NSDK_BUILD/test/functional/nvme_replug" \
	$device "$rounds" load,idle >"$said" 2>"$WORK/replug.err" &
program=$!

program_said()
{
	grep -q "$1" "$said" || ! kill -0 $program 2>/dev/null
}

for ((i = 1; i <= rounds; i++)); do
	until_true 120 program_said "^round $i .*begun" || break
	vm-monitor device_del "plugged$plugs" || break
	until_true 120 program_said "^round $i .*gone" || break
	until_true 60 is_out || break
	[ $i -eq "$rounds" ] || plug || break
done
wait $program
same "a program goes on through $rounds removals, every I/O called back once" 0 $?
same "with one sentence for each" "$rounds" "$(grep -c 'is gone: ' "$WORK/replug.err")"
sed 's/^/# /' "$said"
grep -v 'is gone: \|is reset$\|and goes on$' "$WORK/replug.err" | sed 's/^/# /'

finish
