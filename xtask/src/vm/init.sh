#!/usr/bin/busybox sh
# Process 1 of the virtual machine: prepares what programs expect, runs the tests, says how they ended, switches off.
/usr/bin/busybox --install -s /usr/bin
export PATH=/usr/bin:/usr/sbin HOME=/root TMPDIR=/tmp LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
echo "VM-UP $(uname -r) $(cut -d' ' -f1 /proc/uptime)"
sh /tests.sh
status=$?
echo "VM-END $(cut -d' ' -f1 /proc/uptime)"
# The last word: without it, the machine did not get so far.
echo "VM-EXIT:$status"
poweroff -f
