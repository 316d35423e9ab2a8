package nft

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// What the kernel itself refuses, in the middle of a transaction that changes a table which is there.
func TestKernelRefusesUpdate(t *testing.T) {
	long := strings.Repeat("x", 256) // the longest name has 255 bytes (NFT_NAME_MAXLEN)
	update := func(c plan.TableChange) *plan.Plan {
		c.Op, c.Name = plan.Update, "svcctl"
		return &plan.Plan{Tables: []plan.TableChange{c}}
	}
	around := func(chains ...*g.Chain) []*g.Chain {
		base := func(name string) *g.Chain {
			return &g.Chain{Name: name, Hook: &g.Hook{Type: g.FilterChain, Point: g.Input, Priority: 5}}
		}
		return slices.Concat([]*g.Chain{base("before")}, chains, []*g.Chain{base("after")})
	}
	tests := []struct {
		name  string
		plan  func(t *g.Table) *plan.Plan
		errno unix.Errno
		what  string
	}{
		{"a chain that is referred to", func(t *g.Table) *plan.Plan {
			return update(plan.TableChange{DelChains: []*g.Chain{t.Chain("random-4")}})
		}, unix.EBUSY, "ip svcctl chain random-4"},
		{"a set that is looked up", func(t *g.Table) *plan.Plan {
			return update(plan.TableChange{DelSets: []*g.Set{t.Set("hairpin")}})
		}, unix.EBUSY, "ip svcctl set hairpin"},
		{"a set that is not there", func(*g.Table) *plan.Plan {
			return update(plan.TableChange{DelSets: []*g.Set{{Name: "gone"}}})
		}, unix.ENOENT, "ip svcctl set gone"},
		{"the rules of a chain that is not there", func(*g.Table) *plan.Plan {
			return update(plan.TableChange{SetRules: []*g.Chain{{Name: "gone"}}})
		}, unix.ENOENT, "ip svcctl chain gone"},
		{"a chain with too long a name", func(*g.Table) *plan.Plan {
			return update(plan.TableChange{AddChains: around(&g.Chain{Name: long, Hook: &g.Hook{Point: g.Forward}})})
		}, unix.ERANGE, "ip svcctl chain " + long},
		{"a set with too long a name", func(*g.Table) *plan.Plan {
			return update(plan.TableChange{
				AddSets: []*g.Set{{Name: long, Key: []g.Field{g.AddrField}}}, AddChains: around(),
			})
		}, unix.ERANGE, "ip svcctl set " + long},
		{"a verdict with too long a name", func(t *g.Table) *plan.Plan {
			return update(plan.TableChange{Elements: []plan.ElementChange{{Set: t.Set("services"), Add: words{}.verdicts(
				verdictAt{"10.96.0.7", g.TCP, 80, gotoChain("random-4")},
				verdictAt{"10.96.0.7", g.TCP, 81, gotoChain(long)},
				verdictAt{"10.96.0.7", g.TCP, 82, gotoChain("random-4")},
			)}}})
		}, unix.ERANGE, "ip svcctl map services element 10.96.0.7 . tcp . 81"},
		{"a full set", func(t *g.Table) *plan.Plan {
			s := t.Set("services")
			var add g.Elements
			for port := range uint16(s.Size) - uint16(s.Elements.Len()) + 1 {
				add.Append(words{}.verdicts(verdictAt{"10.96.0.7", g.TCP, port, gotoChain("random-4")}).At(0))
			}
			return update(plan.TableChange{Elements: []plan.ElementChange{{Set: s, Add: add}}})
		}, unix.ENFILE, "ip svcctl map services element 10.96.0.7 . tcp . 1018"},
		{"an element with other data", func(t *g.Table) *plan.Plan {
			s := t.Set("endpoints")
			other := slices.Collect(s.Elements.Slice(3, 6).All())
			other[0].Key.Slot, other[1].Data.Port, other[2].Key.Slot = 90, 17, 91
			return update(plan.TableChange{Elements: []plan.ElementChange{{Set: s, Add: g.ElementsOf(other)}}})
		}, unix.EEXIST, "ip svcctl map endpoints element 0.0.0.0 . tcp . 30001 . 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openPrivate(t)
			want := &g.Ruleset{Tables: []*g.Table{programTable(g.IPv4)}}
			commit(t, c, createPlan(plan.Create, want.Tables...))
			err := c.Commit(t.Context(), tt.plan(want.Tables[0]), 0)
			var k *KernelError
			if !errors.As(err, &k) || k.Errno != tt.errno || k.What != tt.what {
				t.Errorf("got %v, want %v at %s", err, tt.errno, tt.what)
			}
			sameRuleset(t, want, read(t, c).Ruleset)
		})
	}
}
