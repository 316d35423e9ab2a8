package bootlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// networkFD is where the first process finds its network namespace open.
const networkFD = 3

// withheld are the capabilities that reach beyond all namespaces: systemd must not have them whatever a unit says.
var withheld = []uintptr{
	unix.CAP_SYS_BOOT, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME, unix.CAP_SYSLOG, unix.CAP_AUDIT_CONTROL,
	unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND,
}

// becomeManager does the work of the first process: it enters the namespaces that are left, mounts what systemd expects of
// whoever starts it in a container (https://systemd.io/CONTAINER_INTERFACE), leaves the file systems of the machine behind
// and becomes systemd.
func becomeManager() error {
	runtime.LockOSThread() // the namespaces are those of this thread, which is the one that becomes systemd
	if os.Getpid() != 1 {
		return fmt.Errorf("process %d is not the first one of a namespace", os.Getpid())
	}
	if err := unix.Setns(networkFD, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	unix.CloseOnExec(networkFD)
	unix.CloseOnExec(2) // the keeper waits for its end
	// Only now, in its control group: the group it is in becomes the root of the namespace.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("a control group namespace: %w", err)
	}
	if err := mountInterfaces(); err != nil {
		return err
	}
	if err := leaveOldRoot(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("machine")); err != nil {
		return fmt.Errorf("the host name: %w", err)
	}
	for _, c := range withheld {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	unix.Umask(0o022)
	err := unix.Exec(manager, []string{manager, "--system"}, []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=svcctl-bootlab", "LANG=C.UTF-8", "TERM=dumb",
	})
	return fmt.Errorf("starting %s: %w", manager, err)
}

// mountInterfaces mounts the kernel's file systems and those in memory below the new root.
func mountInterfaces() error {
	const (
		safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		tmp  = unix.MS_NOSUID | unix.MS_NODEV
	)
	for _, m := range []struct {
		kind, target string
		flags        uintptr
		data         string
	}{
		{"proc", "proc", safe, ""},
		{"sysfs", "sys", safe | unix.MS_RDONLY, ""},
		{"cgroup2", "sys/fs/cgroup", safe, ""},
		{"tmpfs", "dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=4m"},
		// What systemd empties as it boots. Without these two it would still be the copy's.
		{"tmpfs", "run", tmp, "mode=755,size=256m"},
		{"tmpfs", "tmp", tmp, "mode=1777,size=256m"},
	} {
		target := filepath.Join(rootDir, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := mount(m.kind, target, m.kind, m.flags, m.data); err != nil {
			return err
		}
	}
	// The settings of the running kernel are nobody's own, those of the network apart, which are the test's.
	for _, file := range []string{"proc/sys", "proc/sysrq-trigger"} {
		target := filepath.Join(rootDir, file)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue // the kernel was built without it
		}
		if err := bind(target, target); err != nil {
			return err
		}
		if err := mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|safe, ""); err != nil {
			return err
		}
	}
	if err := nameBoot(); err != nil {
		return err
	}
	return makeDevices(filepath.Join(rootDir, "dev"))
}

// nameBoot gives the boot an id of its own, by which the journal and svcctl tell one boot from the next. The kernel's is that of
// the machine that the test runs on.
func nameBoot() error {
	id, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return err
	}
	file := filepath.Join(rootDir, "run/boot_id")
	if err := os.WriteFile(file, id, 0o444); err != nil {
		return err
	}
	if err := bind(file, filepath.Join(rootDir, "proc/sys/kernel/random/boot_id")); err != nil {
		return err
	}
	return os.Remove(file)
}

// makeDevices fills /dev with what a container has.
func makeDevices(dev string) error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		target := filepath.Join(dev, name)
		if err := os.WriteFile(target, nil, 0o666); err != nil {
			return err
		}
		if err := bind("/dev/"+name, target); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, name), 0o755); err != nil {
			return err
		}
	}
	if err := mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"); err != nil {
		return err
	}
	if err := mount("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=64m"); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

func bind(source, target string) error { return mount(source, target, "", unix.MS_BIND, "") }

// leaveOldRoot makes the copy the root, and lets go of every other mount.
func leaveOldRoot() error {
	if err := unix.Chdir(rootDir); err != nil {
		return err
	}
	// With the same directory twice the old root ends up on top of the new one, from where it is taken away: pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	return unix.Chdir("/")
}
