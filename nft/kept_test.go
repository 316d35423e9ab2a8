package nft

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// TestKeptElements replaces a table whose packet path has learnt something. It goes on to be known for as long as it
// would have been, to the second, as nft shows it.
func TestKeptElements(t *testing.T) {
	needNFT(t)
	c := openPrivate(t)
	want := program()
	commit(t, c, createPlan(plan.Create, want.Tables...))
	nftCommand(t, `
add element ip svcctl affinity { 192.0.2.1 . 10.96.0.2 . tcp . 80 timeout 3h expires 40m : 10.1.1.2 . 8080 }
add element ip svcctl affinity { 192.0.2.2 . 10.96.0.2 . tcp . 80 timeout 3h : 10.1.2.2 . 8080 }
add element ip svcctl affinity { 192.0.2.3 . 10.96.0.2 . tcp . 80 : 10.1.3.2 . 8080 }
add element ip svcctl affinity { 192.0.2.4 . 10.96.0.2 . tcp . 80 timeout 3h : 10.1.77.77 . 8080 }
add element ip6 svcctl affinity { 2001:db8::1 . fd00:10:96::2 . tcp . 80 timeout 45s expires 30s : fd00:10:1::1:2 . 8080 }
`, "-f", "-")
	near := func(got, want time.Duration) bool { return got <= want && got > want-10*time.Second }
	check := func(when string, stays int) {
		t.Helper()
		s := read(t, c)
		affinity := s.Ruleset.Table(g.IPv4).Set("affinity")
		if affinity.Elements.Len() != stays || len(affinity.Lifetimes) != stays || len(s.Unknown) > 0 {
			t.Fatalf("%s: %d elements, %d lifetimes, unknown %q; want %d", when, affinity.Elements.Len(), len(affinity.Lifetimes), s.Unknown, stays)
		}
		for i, want := range []g.Lifetime{
			{Timeout: 3 * time.Hour, Expires: 40 * time.Minute}, {Timeout: 3 * time.Hour, Expires: 3 * time.Hour}, {},
		} {
			if got := affinity.Lifetimes[i]; got.Timeout != want.Timeout || want.Expires != got.Expires && !near(got.Expires, want.Expires) {
				t.Errorf("%s: %s stays for %+v, want %+v", when, affinity.Elements.KeyAt(i).Addr, got, want)
			}
		}
		affinity6 := s.Ruleset.Table(g.IPv6).Set("affinity")
		if affinity6.Elements.Len() != 1 || affinity6.Lifetimes[0].Timeout != 45*time.Second || !near(affinity6.Lifetimes[0].Expires, 30*time.Second) {
			t.Errorf("%s: IPv6 %+v", when, affinity6)
		}
	}
	check("before", 4)
	for _, table := range want.Tables {
		table.Comment = "another"
	}
	p := change(t, c, "the comment changes", want)
	if len(p.Tables) != 2 || p.Tables[0].Op != plan.Replace {
		t.Fatalf("planned: %+v", p)
	}
	check("after", 3)
	listing := nftCommand(t, "", "list", "map", "ip", "svcctl", "affinity")
	for _, pattern := range []string{
		`192\.0\.2\.1 \. 10\.96\.0\.2 \. tcp \. 80 timeout 3h expires 39m5\ds\d*m?s? : 10\.1\.1\.2 \. 8080`,
		`192\.0\.2\.2 \. 10\.96\.0\.2 \. tcp \. 80 timeout 3h expires 2h59m5\ds\d*m?s? : 10\.1\.2\.2 \. 8080`,
		`192\.0\.2\.3 \. 10\.96\.0\.2 \. tcp \. 80 : 10\.1\.3\.2 \. 8080`,
	} {
		if !regexp.MustCompile(pattern).MatchString(listing) {
			t.Errorf("nft does not show %s:\n%s", pattern, listing)
		}
	}
}

// Many elements take several messages, each of which has its own lifetimes.
func TestManyKeptElements(t *testing.T) {
	c, w := openFaulty(t)
	table := programTable(g.IPv4)
	commit(t, c, createPlan(plan.Create, table))
	k := plan.KeptElements{Set: table.Set("affinity")}
	for i := range 5000 {
		e := g.Element{
			Key:  g.Key{Addr: numberedAddr(0xc6336400 + i), Peer: numberedAddr(0x0a600002), Proto: g.TCP, Port: 80},
			Data: g.Data{Addr: numberedAddr(0x0a010102), Port: 8080},
		}
		l := g.Lifetime{Timeout: 3 * time.Hour, Expires: time.Duration(i+3600) * time.Second}
		if i%7 == 0 {
			l = g.Lifetime{}
		}
		k.Elements.Append(e)
		k.Lifetimes = append(k.Lifetimes, l)
	}
	p := createPlan(plan.Create, table)
	p.Tables[0].Op, p.Tables[0].Keep = plan.Replace, []plan.KeptElements{k}
	commit(t, c, p)
	got := read(t, c).Ruleset.Tables[0].Set("affinity")
	if !got.Elements.Equal(k.Elements) {
		t.Fatalf("%d elements, want %d", got.Elements.Len(), k.Elements.Len())
	}
	for i, l := range k.Lifetimes {
		if d := l.Expires - got.Lifetimes[i].Expires; got.Lifetimes[i].Timeout != l.Timeout || d < 0 || d > 10*time.Second {
			t.Fatalf("element %d stays for %+v, want %+v", i, got.Lifetimes[i], l)
		}
	}
	// An error is mapped back past the elements before it, each as long as it is.
	sent, _ := encode(p, 1, 0, kernel{})
	if exact := planSize(p); len(sent.buf) > exact {
		t.Errorf("%d bytes, estimated as %d", len(sent.buf), exact)
	}
	place, element := 0, 0
	for h, payload := range messages(sent.buf) {
		_, body, _ := familyPayload(payload)
		if h.typ == nftType(unix.NFT_MSG_NEWSETELEM) && str(firstAttr(body, unix.NFTA_SET_ELEM_LIST_SET)) == "affinity" {
			list := firstAttr(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			offset := messageHeader + familyHeader + len(body) - len(list)
			for _, e := range attrs(list) {
				if element%613 == 0 {
					w.refuse(place, unix.ENOMEM, offset)
					err := c.Commit(t.Context(), p, 0)
					var refused *KernelError
					client := fmt.Sprintf(" element %s . ", k.Elements.KeyAt(element).Addr)
					if !errors.As(err, &refused) || !strings.Contains(refused.What, client) {
						t.Errorf("element %d: got %v, want %s named", element, err, client)
					}
				}
				element++
				offset += attrHeader + align4(len(e))
			}
		}
		place++
	}
	if element != k.Elements.Len() {
		t.Errorf("%d elements seen, want %d", element, k.Elements.Len())
	}
}
