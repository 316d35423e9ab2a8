package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/svcctl/svcctl/internal/state"
)

// The watchdog of a change that waits to be confirmed is "svcctl rollback --if-unconfirmed", run when the time is over. It
// depends neither on the process that made the change nor on the session it ran in: it is a transient timer of systemd
// where there is one, and a process of a session of its own elsewhere. It is set before the change is made.

// watchdogPoll is how often a process looks whether it is still needed.
const watchdogPoll = 200 * time.Millisecond

// arm sets the watchdog for a change that is about to be made, and notes that it waits.
func (c *cli) arm(ctx context.Context, store *state.Store, before uint64, wait time.Duration) (*state.Pending, error) {
	p := &state.Pending{
		Token: strings.ToLower(rand.Text()), Before: before, Deadline: c.env.now().Add(wait).UTC().Truncate(time.Second),
	}
	// What is noted first is undone at the worst; what is not noted would not be.
	if err := store.SavePending(p); err != nil {
		return nil, systemError("%w", err)
	}
	args, err := c.watchdogArgs(p.Token)
	if err == nil {
		if c.systemdSeesUs() {
			err = startTimer(ctx, p, args, wait)
		} else {
			err = c.startProcess(store, p, args, wait)
		}
	}
	if err == nil {
		err = store.SavePending(p)
	}
	if err != nil {
		return nil, errors.Join(systemError("the watchdog that would undo the change cannot be set, so nothing was changed: %w: without --confirm it can be made, and stays", err), store.RemovePending())
	}
	return p, nil
}

// watchdogArgs gives the command line of the watchdog. It names everything that it needs: neither the configuration file nor
// the environment may be what they are now when the time is over.
func (c *cli) watchdogArgs(token string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	stateDir, err := filepath.Abs(c.config.StateDir)
	if err != nil {
		return nil, err
	}
	return []string{
		self, "--config=" + os.DevNull, "--table=" + c.config.Table, "--netns=" + c.config.Netns, "--state-dir=" + stateDir,
		"--log-level=" + c.config.LogLevel, "rollback", "--if-unconfirmed=" + token,
	}, nil
}

// systemdSeesUs reports whether a unit of the system's systemd would work on the same network namespace as this process:
// whether systemd runs (sd_booted(3)), would listen, and has our namespace or can enter the one that is named.
func (c *cli) systemdSeesUs() bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil || c.env.uid != 0 {
		return false
	}
	if _, err := exec.LookPath("systemd-run"); err != nil {
		return false
	}
	if c.config.Netns != "" {
		return systemdSees(c.config.Netns)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false
	}
	systems, err := os.Readlink("/proc/1/ns/net")
	return err == nil && own == systems
}

// systemdSees reports whether the name or path of a network namespace means the same to systemd. Below /proc it may not even be
// the same from one process to the next, and a relative path depends on where one is.
func systemdSees(netns string) bool {
	if !strings.Contains(netns, "/") {
		netns = "/run/netns/" + netns
	}
	if !filepath.IsAbs(netns) || strings.HasPrefix(filepath.Clean(netns), "/proc/") {
		return false
	}
	ours, err := os.Stat(netns)
	if err != nil {
		return false
	}
	theirs, err := os.Stat("/proc/1/root" + netns)
	return err == nil && os.SameFile(ours, theirs)
}

func startTimer(ctx context.Context, p *state.Pending, args []string, wait time.Duration) error {
	p.Unit = "svcctl-unconfirmed-" + p.Token
	run := exec.CommandContext(ctx, "systemd-run", append([]string{
		"--quiet", "--collect", "--unit=" + p.Unit, "--description=Undo an unconfirmed svcctl apply",
		fmt.Sprintf("--on-active=%dms", wait.Milliseconds()), "--timer-property=AccuracySec=100ms", "--",
	}, args...)...)
	if out, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("systemd-run: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (c *cli) startProcess(store *state.Store, p *state.Pending, args []string, wait time.Duration) error {
	log, err := store.CreateLog()
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the watchdog has its own
	args = append(args, "--after="+wait.String())
	dir := "/"
	if strings.Contains(c.config.Netns, "/") && !filepath.IsAbs(c.config.Netns) {
		dir = "" // the path starts here
	}
	dog := &exec.Cmd{
		Path: args[0], Args: args, Dir: dir, Stdout: log, Stderr: log,
		// A session of its own: what ends the terminal or the login does not end it.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := dog.Start(); err != nil {
		return err
	}
	p.PID = dog.Process.Pid
	return dog.Process.Release()
}

// callOff ends a watchdog. One that cannot be ended finds out by itself that nothing waits for it.
func (c *cli) callOff(p *state.Pending) {
	if p.Unit == "" {
		return
	}
	if out, err := exec.Command("systemctl", "stop", p.Unit+".timer").CombinedOutput(); err != nil {
		c.log.Info("the timer will find nothing to undo", "unit", p.Unit, "error", err, "output", string(bytes.TrimSpace(out)))
	}
}

// watched reports whether the watchdog of a change still waits. A reboot ends it together with the rules that it would undo.
func (c *cli) watched(p *state.Pending) bool {
	if p.Unit == "" {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		return err == nil && bytes.Contains(args, []byte(p.Token)) // the process id may be another's by now
	}
	states, err := exec.Command("systemctl", "show", "--property=ActiveState", "--value", p.Unit+".timer", p.Unit+".service").Output()
	if err != nil {
		c.log.Info("whether the timer still waits is not known", "unit", p.Unit, "error", err)
		return true
	}
	for _, state := range strings.Fields(string(states)) {
		if state != "inactive" && state != "failed" {
			return true
		}
	}
	return false
}

// rollBackUnconfirmed is what the watchdog does.
func (c *cli) rollBackUnconfirmed(ctx context.Context, o *rollbackOptions) error {
	store := c.store()
	waits := func() bool {
		p, err := store.LoadPending()
		return err == nil && p != nil && p.Token == o.ifUnconfirmed
	}
	for over := time.After(o.after); o.after > 0 && waits(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			o.after = 0
		case <-time.After(watchdogPoll):
		}
	}
	for waits() {
		err := c.rollback(ctx, &rollbackOptions{ifUnconfirmed: o.ifUnconfirmed})
		var held *state.HeldError
		if !errors.As(err, &held) {
			return err
		}
		select { // the change itself may still be under way
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchdogPoll):
		}
	}
	return nil
}
