package dnsserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/render"
)

// TestBINDTakesTheZones: BIND's own checker, at its strictest, has nothing to say about the zones of any golden case.
func TestBINDTakesTheZones(t *testing.T) {
	checker, err := exec.LookPath("named-checkzone")
	if err != nil && os.Getenv(netlab.RequireEnv) == "1" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	cases, err := os.ReadDir("../../golden/cases")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, c := range cases {
		zones := zonesOf(t, readAll(t, filepath.Join("../../golden/cases", c.Name())))
		if zones == nil {
			continue
		}
		for _, z := range zones.Zones {
			path := filepath.Join(t.TempDir(), "zone")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(render.Zone(f, z), f.Close()); err != nil {
				t.Fatal(err)
			}
			// Without asking anybody whether the names outside of the zone are there (-i local).
			out, err := exec.CommandContext(t.Context(), checker, "-q", "-i", "local", "-k", "fail", "-n", "fail", "-r", "fail",
				string(z.Origin), path).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%s: the zone %s: %v: %s", c.Name(), z.Origin, err, out)
			}
			checked++
		}
	}
	if checked < 50 {
		t.Errorf("only %d zones were checked", checked)
	}
}
