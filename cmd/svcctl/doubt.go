package main

import (
	"fmt"

	"github.com/svcctl/svcctl/nft"
)

// doubt is a change that may be in force, because the kernel's answer was lost.
type doubt struct {
	change     *change // nil: there is none
	generation uint32  // that was found when it arose
}

// arise notes the first change of which it is not known whether it is in force.
func (d *doubt) arise(ch *change, lost *nft.LostAnswerError) {
	if d.change == nil && !lost.Refused() {
		*d = doubt{ch, lost.After}
	}
}

// settle ends a doubt where the kernel does not have what was wanted, and nothing happened in between.
func (d *doubt) settle(ch *change) {
	if ch.generation == d.generation {
		*d = doubt{}
	}
}

// since gives what changed altogether. A plan from before the doubt led to the same end as one from after it.
func (d *doubt) since(ch *change) *change {
	if d.change == nil {
		return ch
	}
	all := *d.change
	all.generation = ch.generation
	return &all
}

// addTo adds to an error that a change may be in force.
func (d *doubt) addTo(err error) error {
	if d.change == nil {
		return err
	}
	return fmt.Errorf("%w; the kernel's answer to an earlier try was lost, so that the change may be in force: "+
		"\"svcctl diff\" tells", err)
}
