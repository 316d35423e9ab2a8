package bootlab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The keeper's directories, on a file system in memory that only it and the machine's first process see. The keeper's /tmp is
// only a place to mount that is there everywhere.
const (
	scratch    = "/tmp"
	upperDir   = scratch + "/upper"  // what differs from the root file system
	workDir    = scratch + "/work"   // the overlay's own
	rootDir    = scratch + "/root"   // both together: the root of the machine
	groupsDir  = scratch + "/groups" // the control groups
	consoleDir = "console"           // the control group of the commands that a test runs
)

// The keeper is asked one thing per line and answers with one line.
const (
	askBoot = "boot " // and the path of a network namespace; answered with the process id of systemd
	askHalt = "halt"  // answered when everything is over
	askKill = "kill"  // halt without the machine's cooperation, like a power failure

	saidReady       = "ready "       // and the directory of the control groups
	saidDone        = "done "        // and a result
	saidFailed      = "failed "      // and why
	saidUnavailable = "unavailable " // and why
)

// haltPatience is how long a machine may take to stop its units.
const haltPatience = 30 * time.Second

// keeper is what the keeper process knows.
type keeper struct {
	groups string // the control group of the machine
	child  *exec.Cmd
	exited chan struct{}
}

// keep does the work of the keeper: it makes the file system, and boots and halts on demand until there is nobody left to
// demand anything.
func keep(in io.Reader, out io.Writer) (err error) {
	// The kernel sends the parent-death signal when the thread that started the child ends, not the process.
	runtime.LockOSThread()
	k := &keeper{}
	defer func() { err = errors.Join(err, k.clear()) }()
	if err := k.prepare(); err != nil {
		word := saidFailed
		if errors.Is(err, unix.EPERM) {
			word = saidUnavailable
		}
		_, err = fmt.Fprintf(out, "%s%v\n", word, err)
		return err
	}
	if _, err := fmt.Fprintf(out, "%s%s\n", saidReady, k.groups); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		result, err := k.answer(lines.Text())
		word := saidDone
		if err != nil {
			word, result = saidFailed, strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if _, err := fmt.Fprintf(out, "%s%s\n", word, result); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) answer(demand string) (string, error) {
	network, boot := strings.CutPrefix(demand, askBoot)
	switch {
	case boot && k.child != nil:
		return "", errors.New("it runs")
	case boot:
		return k.boot(network)
	case demand == askHalt:
		return "", k.halt()
	case demand == askKill:
		return "", k.kill()
	default:
		return "", fmt.Errorf("%q is not known", demand)
	}
}

// prepare makes the root file system of the machine, and its control group.
func (k *keeper) prepare() error {
	if ns, err := os.Readlink("/proc/self/ns/mnt"); err != nil || ns == os.Getenv(outsideEnv) || os.Getenv(outsideEnv) == "" {
		return fmt.Errorf("not in a mount namespace of its own: %s (%w)", ns, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=512m"); err != nil {
		return err
	}
	for _, dir := range []string{upperDir, workDir, rootDir, groupsDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := hideLocalUnits(upperDir); err != nil {
		return err
	}
	layers := "lowerdir=/,upperdir=" + upperDir + ",workdir=" + workDir
	if err := mount("overlay", rootDir, "overlay", 0, layers); err != nil {
		return err
	}
	if err := mountGroups(); err != nil {
		return err
	}
	own, err := ownGroup()
	if err != nil {
		return err
	}
	groups := filepath.Join(groupsDir, own, fmt.Sprintf("svcctl-bootlab-%d", os.Getpid()))
	if err := os.Mkdir(groups, 0o755); err != nil {
		return err
	}
	k.groups = groups
	return nil
}

// mountGroups makes the unified hierarchy of control groups seen. A mount of one's own would have options of its own, and
// those are in force for all mounts together, so that of the system is used where there is one.
func mountGroups() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	table, err := os.ReadFile("/proc/self/mountinfo") // proc_pid_mountinfo(5)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		place, kind, _ := strings.Cut(line, " - ")
		fields := strings.Fields(place)
		if strings.HasPrefix(kind, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			if err := bind(fields[4], groupsDir); err != nil {
				return err
			}
			return mount("", groupsDir, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "") // containers have it read-only
		}
	}
	return mount("cgroup2", groupsDir, "cgroup2", flags, "")
}

// ownGroup gives the control group of this process in the unified hierarchy.
func ownGroup() (string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", fmt.Errorf("no unified control groups: %w", unix.EPERM)
}

// boot starts systemd in new namespaces and gives its process id.
func (k *keeper) boot(network string) (string, error) {
	ns, err := os.Open(network)
	if err != nil {
		return "", fmt.Errorf("the network namespace: %w", err)
	}
	defer ns.Close() //nolint:errcheck // nothing is written to it
	// systemd removes it as it ends.
	if err := os.MkdirAll(filepath.Join(k.groups, consoleDir), 0o755); err != nil {
		return "", err
	}
	group, err := os.Open(k.groups)
	if err != nil {
		return "", err
	}
	defer group.Close() //nolint:errcheck // nothing is written to it
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleEnv + "=" + firstRole}
	cmd.ExtraFiles = []*os.File{ns}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:   syscall.SIGKILL,
		Setsid:      true,
		UseCgroupFD: true,
		CgroupFD:    int(group.Fd()),
	}
	// It closes with exec: what is said before that is why there was none.
	said, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	k.child, k.exited = cmd, make(chan struct{})
	refusal, err := io.ReadAll(said)
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how systemd ends in a namespace says nothing
		close(exited)
	}(k.exited)
	if err != nil || len(refusal) > 0 {
		return "", errors.Join(err, errors.New(strings.TrimSpace(string(refusal))), k.kill())
	}
	return strconv.Itoa(cmd.Process.Pid), nil
}

// powerOff asks systemd to stop all units and end (systemd(1), SIGRTMIN+4).
const powerOff = syscall.Signal(34 + 4)

func (k *keeper) halt() error {
	if k.child == nil {
		return nil
	}
	if err := k.child.Process.Signal(powerOff); err != nil {
		return errors.Join(err, k.kill())
	}
	select {
	case <-k.exited:
		k.child = nil
		return nil
	case <-time.After(haltPatience):
		return errors.Join(fmt.Errorf("still running %s after being told to stop", haltPatience), k.kill())
	}
}

// kill ends the first process of the machine, and the kernel ends all others.
func (k *keeper) kill() error {
	if k.child == nil {
		return nil
	}
	err := k.child.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-k.exited
	k.child = nil
	return err
}

// clear removes what would outlive the keeper.
func (k *keeper) clear() error {
	err := k.kill()
	if k.groups == "" {
		return err
	}
	return errors.Join(err, removeGroups(k.groups))
}

// removeGroups removes a control group with those below it, from the leaves. The kernel frees the processes of a namespace
// some moments after its first one is gone, so there is more than one try.
func removeGroups(dir string) error {
	var err error
	for range 100 {
		var dirs []string
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
			err = unix.Rmdir(dirs[i])
		}
		if err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("removing the control group %s: %w", dir, err)
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", kind, target, err)
	}
	return nil
}
