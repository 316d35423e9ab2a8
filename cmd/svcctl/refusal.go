package main

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/nft"
)

// refused says whose part of a change the kernel refused, where that is known, what is in force of the change, and what
// can be done.
func (t *target) refused(err error) error {
	if errors.Is(err, nft.ErrPermission) {
		return err // which says it all
	}
	var kernel *nft.KernelError
	what := "the change"
	if errors.As(err, &kernel) && kernel.Owner != nil {
		what = fmt.Sprintf("%s (%s)", kernel.Owner.Service, kernel.Owner.Pos)
	}
	enacted := "nothing was changed"
	var partial *nft.PartialError
	if errors.As(err, &partial) {
		enacted = "in force of it: " + partial.Enacted
		err = partial.Err
	}
	if advice := t.advice(kernel, err); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	return systemError("the kernel refused %s: %s: %w", what, enacted, err)
}

// advice gives what can be done about a refusal, "" where nobody knows.
func (t *target) advice(kernel *nft.KernelError, err error) string {
	switch {
	case kernel == nil:
		return remedy(err)
	case kernel.Errno == unix.ENFILE && kernel.Set == graph.AffinityMap:
		return fmt.Sprintf("affinityMapSize in the configuration, now %d, is how many clients it holds", t.cli.config.AffinityMapSize)
	case kernel.Errno == unix.ENFILE:
		return "svcctl makes its sets larger than it fills them, so that this is a defect of svcctl"
	case kernel.Errno == unix.EBUSY:
		return fmt.Sprintf("look for what another program put there: nft list table %s", tableOf(kernel.What))
	case kernel.Errno == unix.ERANGE:
		return "names in nftables have at most 255 bytes"
	default:
		return remedy(err)
	}
}

// tableOf gives the table of an object that an error names: "ip svcctl" of "ip svcctl map services".
func tableOf(what string) string {
	words := strings.Fields(what)
	return strings.Join(words[:min(2, len(words))], " ")
}
