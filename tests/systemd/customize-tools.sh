#!/bin/sh
# Called by mmdebstrap: customize-tools.sh ROOT ...   Puts a kernel and an initrd for QEMU guests into ROOT/boot.
#
# The kernel's package is unpacked, not installed: that would need tools to make an initrd for this machine.
set -eu
root=$1
chroot "$root" sh -eu <<'IN'
cd /tmp
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
apt-get -o APT::Sandbox::User=root -q download "$kernel"
# Not into /, where its folder lib would take the place of the link to usr/lib.
dpkg-deb -x "$kernel"_*.deb kernel
version=${kernel#linux-image-}
mv "kernel/boot/vmlinuz-$version" /boot/vmlinuz
mkdir -p /usr/lib/modules
mv "kernel/lib/modules/$version" /usr/lib/modules/
rm -rf kernel "$kernel"_*.deb
depmod "$version"

work=$(mktemp -d)
mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/mnt" "$work/modules" "$work/tmp"
cp /bin/busybox "$work/bin/"
for module in virtio_pci virtio_blk ext4; do
    modprobe -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' > /tmp/modules
while read -r file; do
    cp "$file" "$work/modules/"
    basename "$file" >> "$work/order"
done < /tmp/modules
cat > "$work/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r file; do insmod "/modules/$file"; done < /order
until mount -t ext4 /dev/vda /mnt 2>/dev/null; do sleep 0.1; done
mount --move /dev /mnt/dev
mount --move /proc /mnt/proc
mount --move /sys /mnt/sys
exec switch_root /mnt /sbin/init
INIT
chmod 755 "$work/init"
cd "$work"
find . | cpio --quiet -o -H newc | gzip -1 > /boot/initrd.gz
rm -rf "$work" /tmp/modules
IN
