package zonefile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/peer"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// TestCoreDNSFollows: a CoreDNS that looks at the serial number takes every new content, also one that was there before.
func TestCoreDNSFollows(t *testing.T) {
	dir := t.TempDir()
	contents := []string{"10.0.0.1", "10.0.0.2", "10.0.0.1"}
	at := func(addr string) func(uint32) ([]byte, error) { return zone("@ IN NS localhost.", "a IN A "+addr) }
	update(t, dir, 1<<32-2, at(contents[0])) // soon the serial number starts over
	core, err := peer.StartCoreDNS(t.Context(), dir, []peer.ZoneFile{
		{Origin: "cluster.local", Path: filepath.Join(dir, "a.zone"), Reload: 50 * time.Millisecond},
	})
	if errors.Is(err, peer.ErrMissing) && os.Getenv(netlab.RequireEnv) != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer core.Stop()
	for i, want := range contents {
		update(t, dir, 1, at(want))
		got, end := "", time.Now().Add(10*time.Second)
		for got != want && time.Now().Before(end) {
			m := new(wire.Msg)
			m.SetQuestion("a.cluster.local.", wire.TypeA)
			r, err := wire.Exchange(m, core.Addr)
			if err != nil || len(r.Answer) != 1 {
				t.Fatalf("%v, %v", r, err)
			}
			got = r.Answer[0].(*wire.A).A.String()
			time.Sleep(10 * time.Millisecond)
		}
		if got != want {
			t.Errorf("content %d is %s, and CoreDNS says %s", i, want, got)
		}
	}
}
