package nft

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Every feature is there in the kernels that the tests run on, and trying them leaves nothing, nor moves the generation of
// the namespace that is asked about.
func TestFeaturesAreTriedAndLeaveNothing(t *testing.T) {
	c := openPrivate(t)
	before, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Features(t.Context(), "/proc/thread-self/ns/net") {
		if p.Answer != Yes {
			t.Errorf("%s, %s: answer %d: %s", p.Feature, p.Family, p.Answer, p.Why)
		}
	}
	after, err := c.Generation(t.Context())
	if err != nil || after != before {
		t.Errorf("generation %d (%v), want still %d", after, err, before)
	}
}

// Where no namespace can be made, transactions without an end tell the same, and what takes a commit is not known.
func TestFeaturesInPlaceChangeNothing(t *testing.T) {
	needNFT(t)
	c := openPrivate(t)
	nftCommand(t, "table ip other { chain c { type filter hook forward priority 0; }; }", "-f", "-")
	list, before := listRuleset(t), generationOf(t, c)
	p := &prober{conn: c, refused: unix.EPERM}
	for _, f := range graph.Families {
		for _, trial := range trials {
			want := Yes
			if trial.commit != nil {
				want = CannotTell
			}
			if got, why := p.try(t.Context(), f, trial); got != want {
				t.Errorf("%s, %s: answer %d (%s), want %d", trial.feature, f, got, why, want)
			}
		}
	}
	if after := generationOf(t, c); after != before {
		t.Errorf("generation %d, want still %d", after, before)
	}
	if got := listRuleset(t); got != list {
		t.Errorf("the ruleset was\n%sand is\n%s", list, got)
	}
}

func generationOf(t *testing.T, c *Conn) uint32 {
	t.Helper()
	g, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A kernel that lacks an expression refuses it with ENOENT: a no, with its words. One that gives no answer, or has no memory, is
// no no.
func TestFeatureThatTheKernelRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		errno unix.Errno
		want  Answer
		words string
	}{
		{"missing", unix.ENOENT, No, "a module of the kernel is missing"},
		{"not supported", unix.EOPNOTSUPP, No, "operation not supported"},
		{"no memory", unix.ENOMEM, CannotTell, "no memory"},
		{"not allowed", unix.EPERM, CannotTell, "CAP_NET_ADMIN"},
		{"no answer", 0, CannotTell, "answer was lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, w := openFaulty(t)
			w.onReceive = func(d []byte) ([]byte, error) {
				for h := range messages(d) {
					if tt.errno == 0 {
						return nil, nil
					}
					return refusalOf(h, tt.errno, 0), nil
				}
				return d, nil
			}
			p := &prober{conn: c, private: true}
			got, why := p.try(t.Context(), graph.IPv4, trials[0])
			if got != tt.want || !strings.Contains(why, tt.words) {
				t.Errorf("answer %d (%s), want %d with %q", got, why, tt.want, tt.words)
			}
		})
	}
}

// Mostly one transaction tells everything: it has every trial that needs no commit, and a single refusal in it has them tried
// one by one.
func TestFeaturesAtOnce(t *testing.T) {
	c, w := openFaulty(t)
	want := 0
	for _, trial := range trials {
		if trial.table != nil {
			want += len(graph.Families)
		}
	}
	tables := 0
	var last header
	w.onSend = func(d []byte) ([]byte, error) {
		for h := range messages(d) {
			if h.typ == nftType(unix.NFT_MSG_NEWTABLE) {
				tables++
			}
			last = h
		}
		return d, nil
	}
	p := &prober{conn: c, private: true}
	if !p.takesAll() || tables != want {
		t.Fatalf("%d tables in it, want %d, all of them taken", tables, want)
	}
	w.onReceive = func(d []byte) ([]byte, error) {
		if d == nil {
			return nil, nil
		}
		return refusalOf(last, unix.ENOENT, 0), nil
	}
	if p.takesAll() {
		t.Error("a refusal went unnoticed")
	}
}

// Of a kernel that takes a new size and does nothing the answer is no: that is why it is committed and read back.
func TestFeatureThatTheKernelIgnores(t *testing.T) {
	c, w := openFaulty(t)
	batches := 0
	w.onSend = func(d []byte) ([]byte, error) {
		if isBatch(d) {
			batches++
		}
		if batches == 2 && isBatch(d) { // the first makes the set
			return withoutSetSize(d), nil
		}
		return d, nil
	}
	p := &prober{conn: c, private: true}
	ok, err := p.resizes(graph.IPv4)
	if ok || err != nil {
		t.Errorf("a size that did not change: %v, %v", ok, err)
	}
}

// withoutSetSize makes the attribute of the description one that the kernel does not look at.
func withoutSetSize(d []byte) []byte {
	out := append([]byte(nil), d...)
	for h, p := range messages(out) {
		if h.typ != nftType(unix.NFT_MSG_NEWSET) {
			continue
		}
		desc := firstAttr(p[familyHeader:], unix.NFTA_SET_DESC)
		size := firstAttr(desc, unix.NFTA_SET_DESC_SIZE)
		copy(size, []byte{0, 0, 0, 8})
	}
	return out
}

// An ordinary user cannot try anything, and is told so.
func TestFeaturesWithoutPrivilege(t *testing.T) {
	enterPrivateNetns(t)
	runtime.LockOSThread()
	if err := dropNetAdmin(); err != nil {
		t.Skipf("dropping capabilities: %v", err)
	}
	c, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := &prober{conn: c, refused: unix.EPERM}
	for _, trial := range trials {
		got, why := p.try(t.Context(), graph.IPv4, trial)
		if got != CannotTell || why == "" {
			t.Errorf("%s: answer %d (%s), want that it cannot be told", trial.feature, got, why)
		}
	}
}

// dropNetAdmin takes all capabilities of the calling thread, which is never used again.
func dropNetAdmin() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
