package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/render"
)

const statusHelp = `Say what is applied: since when, by whom, from which files, and whether the kernel still has it.

That is found out by the digest that svcctl's tables carry, their rules, and how many elements each set
has; small tables are read. "svcctl verify" reads everything.`

const statusExamples = `  svcctl status
  svcctl status -o json`

func newStatusCommand(c *cli) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say what is applied, and whether the kernel still has it",
		Long:    statusHelp,
		Example: statusExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.status(ctx, output) }),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output format: text or json")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

// statusJSON is the form of -o json, and what the text is made of.
type statusJSON struct {
	Table       string            `json:"table"`
	Netns       string            `json:"netns,omitempty"`
	Applied     *appliedJSON      `json:"applied"` // null: nothing is recorded
	InKernel    bool              `json:"inKernel"`
	Generation  uint32            `json:"generation"` // of the namespace's nftables, now
	Drifted     bool              `json:"drifted"`
	Differences []string          `json:"differences"`
	Unconfirmed *unconfirmedState `json:"unconfirmed,omitempty"`
}

type appliedJSON struct {
	State        uint64    `json:"state"`
	Time         time.Time `json:"time"`
	By           string    `json:"by"`
	Files        []string  `json:"files"`
	RolledBackTo uint64    `json:"rolledBackTo,omitempty"`
	Services     int       `json:"services"`
	Generation   uint32    `json:"generation"` // after the commit
}

type unconfirmedState struct {
	Deadline time.Time `json:"deadline"`
	Before   uint64    `json:"before"`
}

func (c *cli) status(ctx context.Context, output string) error {
	if err := checkFormat(output, "text", "json"); err != nil {
		return err
	}
	s, err := c.readStatus(ctx)
	if err != nil {
		return err
	}
	if output == "json" {
		text, err := json.MarshalIndent(s, "", "    ")
		if err != nil {
			return err
		}
		c.printf("%s\n", text)
		return nil
	}
	c.printStatus(s)
	return nil
}

func (c *cli) readStatus(ctx context.Context) (*statusJSON, error) {
	store := c.store()
	record, err := c.readRecord(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, recordError(err, "\"svcctl apply\" makes a new one")
	}
	applied := c.recall(store, record)()
	t, err := c.openTarget(true)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.expect(record, applied)
	obs, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	s := &statusJSON{
		Table: c.config.Table, Netns: c.config.Netns, Generation: obs.survey.Generation,
		InKernel: len(obs.ruleset.Tables) > 0, Differences: []string{},
	}
	if record != nil {
		s.Applied = &appliedJSON{
			State: record.Serial, Time: record.Time, By: appliedBy(record), Files: record.Files,
			RolledBackTo: record.RolledBackTo, Services: len(record.Services), Generation: record.Generation,
		}
	}
	if applied != nil {
		for _, d := range render.Differences(plan.Diff(obs.ruleset, applied), obs.ruleset, obs.survey.Foreign) {
			s.Differences = append(s.Differences, d.String())
		}
	}
	s.Drifted = len(s.Differences) > 0
	pending, err := store.LoadPending()
	if err != nil {
		c.notef("warning: %v", err)
	}
	if pending != nil {
		s.Unconfirmed = &unconfirmedState{pending.Deadline, pending.Before}
	}
	return s, nil
}

// shownDifferences is how many differences the text of status names: verify names them all.
const shownDifferences = 5

func (c *cli) printStatus(s *statusJSON) {
	line := func(title, format string, args ...any) {
		c.printf("%-13s%s\n", title+":", printable(fmt.Sprintf(format, args...)))
	}
	line("Table", "%s", s.Table)
	if s.Netns != "" {
		line("Namespace", "%s", s.Netns)
	}
	if a := s.Applied; a == nil {
		line("Applied", "nothing that is recorded in %s", c.config.StateDir)
	} else {
		line("Applied", "%s (%s ago), state %d", a.Time.Format(time.RFC3339), age(c.env.now().Sub(a.Time)), a.State)
		line("By", "%s", a.By)
		if a.RolledBackTo != 0 {
			line("From", "state %d, by rollback", a.RolledBackTo)
		} else {
			line("From", "%s", strings.Join(a.Files, ", "))
		}
		line("Services", "%d", a.Services)
	}
	switch {
	case !s.InKernel:
		line("Kernel", "has no table of this name")
	case s.Applied == nil:
		line("Kernel", "has tables of svcctl")
	case s.Drifted:
		line("Kernel", "has something else, %s:", count(len(s.Differences), "difference", "differences"))
		for i, d := range s.Differences {
			if i == shownDifferences {
				c.printf("  and %d more: \"svcctl verify\" names them\n", len(s.Differences)-i)
				break
			}
			c.printf("  %s\n", printable(d))
		}
	default:
		line("Kernel", "has what was applied")
	}
	if s.Unconfirmed != nil {
		line("Unconfirmed", "until %s: \"svcctl confirm\" keeps it", s.Unconfirmed.Deadline.Format(time.RFC3339))
	}
}

// age gives a time in the largest unit that it has at least two of, like kubectl.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

// appliedBy names the user who applied something, and who had become that user by sudo.
func appliedBy(r *state.Record) string {
	name := "uid " + strconv.Itoa(r.UID)
	if u, err := user.LookupId(strconv.Itoa(r.UID)); err == nil {
		name = u.Username
	}
	if r.SudoUser != "" {
		name += " (sudo by " + r.SudoUser + ")"
	}
	return name
}
