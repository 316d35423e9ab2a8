package state

import (
	"fmt"
	"os"
	"syscall"
)

// inodeOf gives the device and inode of a file.
func inodeOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: the system gives no inode", path)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}
