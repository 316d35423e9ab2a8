package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// confined runs a program where nothing can be written but a directory: confined DIRECTORY PROGRAM ARGUMENT…
func confined() {
	fmt.Fprintln(os.Stderr, "confined:", runConfined(os.Args[1], os.Args[2:]))
	os.Exit(125)
}

func runConfined(dir string, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // it is this thread that leaves the others' mounts, and that becomes the program
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly); err != nil {
		return err
	}
	writable := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, &writable); err != nil {
		return err
	}
	if wd, err := os.Getwd(); err == nil { // the old one is of the other mounts
		if err := os.Chdir(wd); err != nil {
			return err
		}
	}
	return syscall.Exec(path, args, os.Environ())
}
