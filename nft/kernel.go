package nft

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kernel says what the running kernel can not do. It is known by the kernel's release only: these fail in ways that look
// like mistakes of the caller's, or not at all.
type kernel struct {
	// plainDelete: NFT_MSG_DESTROYSETELEM, the deletion of an element if it exists, came with Linux 6.3.
	plainDelete bool
	// lateChains: before Linux 6.2 a chain that an element of a verdict map referred to can not go in the transaction in
	// which the element goes.
	lateChains bool
	// fixedSizes: a set could be given another size since Linux 6.5. Before, the kernel takes the request and does nothing.
	fixedSizes bool
}

func kernelHere() (kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return kernel{}, os.NewSyscallError("uname", err)
	}
	return kernelOf(unix.ByteSliceToString(u.Release[:])), nil
}

// kernelOf reads a release like "6.1.0-18-amd64". One that cannot be read is taken for an old one.
func kernelOf(release string) kernel {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return kernel{plainDelete: true, lateChains: true, fixedSizes: true}
	}
	before := func(ma, mi int) bool { return major < ma || major == ma && minor < mi }
	return kernel{plainDelete: before(6, 3), lateChains: before(6, 2), fixedSizes: before(6, 5)}
}
