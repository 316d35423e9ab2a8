package bootlab

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hidden are directories of the machine's administrator. The copy begins without their contents: which services run on the
// machine that runs the tests must not matter, and none of them may run twice.
var hidden = []string{"etc/systemd/system", "etc/init.d", "etc/svcctl", "var/lib/svcctl", "var/log/journal"}

// masked are units of systemd itself that no test needs and that take time.
var masked = []string{
	"systemd-logind.service", "dbus.service", "dbus.socket", "getty.target", "console-getty.service",
	"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-networkd.service", "systemd-resolved.service",
	"systemd-timesyncd.service", "systemd-sysctl.service", "systemd-hwdb-update.service", "systemd-pstore.service",
	"systemd-random-seed.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-binfmt.service",
	"systemd-modules-load.service", "systemd-firstboot.service", "systemd-tmpfiles-setup-dev.service",
}

// hideLocalUnits makes, in the upper layer of the machine's file system, what keeps it from starting what this machine
// starts.
func hideLocalUnits(upper string) error {
	for _, name := range hidden {
		dir := filepath.Join(upper, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return &os.PathError{Op: "setxattr", Path: dir, Err: err}
		}
	}
	for _, unit := range masked {
		if err := os.Symlink(os.DevNull, filepath.Join(upper, "etc/systemd/system", unit)); err != nil {
			return err
		}
	}
	if err := os.Symlink("/lib/systemd/system/multi-user.target", filepath.Join(upper, "etc/systemd/system/default.target")); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"etc/fstab": "",
		// With one that is not set systemd takes it for a first boot, and enables what distributions enable then.
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"etc/hostname":   "machine\n",
	} {
		if err := os.WriteFile(filepath.Join(upper, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
