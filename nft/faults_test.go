package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// faultyWire is a wire between this package and the kernel on which things go wrong.
type faultyWire struct {
	wire
	// onSend sees what is sent and gives what reaches the kernel, nil for nothing, or an error in place of sending.
	onSend func(datagram []byte) ([]byte, error)
	// onReceive sees what the kernel would say, nil for nothing, and gives what arrives, or an error in place of it.
	onReceive func(datagram []byte) ([]byte, error)
}

func (w *faultyWire) send(datagram []byte) error {
	if w.onSend != nil {
		d, err := w.onSend(datagram)
		if err != nil || d == nil {
			return err
		}
		datagram = d
	}
	return w.wire.send(datagram)
}

func (w *faultyWire) receive(buf []byte) (int, error) {
	n, err := w.wire.receive(buf)
	if w.onReceive == nil || err != nil && !errors.Is(err, unix.EAGAIN) {
		return n, err
	}
	var d []byte
	if err == nil {
		d = buf[:n]
	}
	if d, err = w.onReceive(d); err != nil {
		return 0, err
	}
	if d == nil {
		return 0, unix.EAGAIN
	}
	return copy(buf, d), nil
}

// openFaulty opens a connection to a new network namespace over a wire that works until it is told otherwise.
func openFaulty(t *testing.T) (*Conn, *faultyWire) {
	t.Helper()
	c := openPrivate(t)
	w := &faultyWire{wire: c.sock.wire}
	c.sock.wire = w
	return c, w
}

// isBatch reports whether a datagram is a transaction.
func isBatch(d []byte) bool {
	for h := range messages(d) {
		return h.typ == unix.NFNL_MSG_BATCH_BEGIN
	}
	return false
}

// refusalOf is what the kernel says when it refuses a message: an NLMSG_ERROR, with the offset of the attribute at fault
// where that is known.
func refusalOf(h header, errno unix.Errno, offset int) []byte {
	b, start := appendHeader(nil, header{typ: unix.NLMSG_ERROR, flags: unix.NLM_F_ACK_TLVS | unix.NLM_F_CAPPED, seq: h.seq}, 0, 0)
	b = binary.NativeEndian.AppendUint32(b[:start+messageHeader], uint32(-int32(errno)))
	b, inner := appendHeader(b, h, 0, 0)
	b = b[:inner+messageHeader]
	if offset > 0 {
		b = binary.NativeEndian.AppendUint32(appendAttrHeader(b, unix.NLMSGERR_ATTR_OFFS, 4), uint32(offset))
	}
	closeMessage(b, start)
	return b
}

// refuse has the kernel refuse the message at a place of the next transaction, which it never gets.
func (w *faultyWire) refuse(place int, errno unix.Errno, offset int) {
	var answer []byte
	w.onSend = func(d []byte) ([]byte, error) {
		if !isBatch(d) {
			return d, nil
		}
		n := 0
		for h := range messages(d) {
			if n == place {
				answer = refusalOf(h, errno, offset)
			}
			n++
		}
		return nil, nil
	}
	w.onReceive = func(d []byte) ([]byte, error) {
		if d == nil {
			d, answer = answer, nil
		}
		return d, nil
	}
}

// No memory can strike anywhere in a transaction: whatever message it is, its object is named.
func TestNoMemoryNamesTheObject(t *testing.T) {
	c, w := openFaulty(t)
	p := createPlan(plan.Create, program().Tables...)
	sent, _ := encode(p, 1, 0, kernel{})
	place, names := 0, map[string]bool{}
	for h, payload := range messages(sent.buf) {
		_, body, _ := familyPayload(payload)
		var want []string
		switch h.typ {
		case nftType(unix.NFT_MSG_NEWTABLE):
			want = []string{"table "}
		case nftType(unix.NFT_MSG_NEWSET):
			want = []string{"svcctl ", str(firstAttr(body, unix.NFTA_SET_NAME))}
		case nftType(unix.NFT_MSG_NEWCHAIN):
			want = []string{"svcctl chain ", str(firstAttr(body, unix.NFTA_CHAIN_NAME))}
		case nftType(unix.NFT_MSG_NEWRULE):
			want = []string{"svcctl chain ", str(firstAttr(body, unix.NFTA_RULE_CHAIN)), " rule "}
		case nftType(unix.NFT_MSG_NEWSETELEM):
			want = []string{"svcctl ", str(firstAttr(body, unix.NFTA_SET_ELEM_LIST_SET)), " element"}
		}
		w.refuse(place, unix.ENOMEM, 0)
		err := c.Commit(t.Context(), p, 0)
		var k *KernelError
		if !errors.As(err, &k) || k.Errno != unix.ENOMEM || !errors.Is(err, unix.ENOMEM) {
			t.Fatalf("message %d: got %v, want ENOMEM", place, err)
		}
		for _, word := range want {
			if !strings.Contains(k.What, word) {
				t.Errorf("message %d: %q does not name %q", place, k.What, word)
			}
		}
		names[k.What] = true
		place++
	}
	if place < 50 || len(names) < place-5 { // the begin and the end have the same name
		t.Errorf("%d names for %d messages", len(names), place)
	}
}

// The offset in a message names the element: this one, and neither the one before nor the one after.
func TestOffsetNamesTheElement(t *testing.T) {
	c, w := openFaulty(t)
	table := largeTable(3000)
	p := createPlan(plan.Create, table)
	sent, _ := encode(p, 1, 0, kernel{})
	place, element := 0, 0
	for h, payload := range messages(sent.buf) {
		if h.typ == nftType(unix.NFT_MSG_NEWSETELEM) {
			_, body, _ := familyPayload(payload)
			offset := messageHeader + familyHeader
			for typ, v := range attrs(body) {
				if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
					offset += attrHeader + align4(len(v))
					continue
				}
				offset += attrHeader
				for _, e := range attrs(v) {
					if element%311 == 0 {
						want := shapeOf(g.IPv4, table.Sets[0])
						k := table.Sets[0].Elements.KeyAt(element)
						key := want.keyString(&k)
						w.refuse(place, unix.EEXIST, offset)
						if err := c.Commit(t.Context(), p, 0); err == nil || !strings.HasPrefix(err.Error(), "ip svcctl map endpoints element "+key+": ") {
							t.Errorf("element %d: %v does not name %s", element, err, key)
						}
					}
					element++
					offset += attrHeader + align4(len(e))
				}
			}
		}
		place++
	}
	if element != 3000 {
		t.Errorf("%d elements seen", element)
	}
}

// faultOf spoils what arrives, or takes it away.
type faultOf struct {
	name string
	// spoil is called with what arrives at one moment, and repeatedly says that it never gets better.
	spoil func(d []byte) ([]byte, error)
	// forEver is the error where every reading meets the fault.
	forEver error
}

// withFlag sets a flag in every message of a datagram.
func withFlag(d []byte, flag uint16) []byte {
	for at := 0; at+messageHeader <= len(d); at += align4(int(binary.NativeEndian.Uint32(d[at:]))) {
		flags := d[at+6:]
		binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|flag)
	}
	return d
}

// ended gives the end of a dump in place of what arrives, with an error number.
func ended(d []byte, errno unix.Errno) []byte {
	for h := range messages(d) {
		b, start := appendHeader(nil, header{typ: unix.NLMSG_DONE, flags: unix.NLM_F_MULTI, seq: h.seq}, 0, 0)
		b = binary.NativeEndian.AppendUint32(b[:start+messageHeader], uint32(-int32(errno)))
		closeMessage(b, start)
		return b
	}
	return nil
}

// isDump reports whether a datagram is part of a list.
func isDump(d []byte) bool {
	for h := range messages(d) {
		return h.flags&unix.NLM_F_MULTI != 0
	}
	return false
}

var readFaults = []faultOf{
	{"a change during a dump", func(d []byte) ([]byte, error) {
		if isDump(d) {
			d = withFlag(d, unix.NLM_F_DUMP_INTR)
		}
		return d, nil
	}, ErrConflict},
	{"a dump that ends with EINTR", func(d []byte) ([]byte, error) {
		if isDump(d) {
			d = ended(d, unix.EINTR)
		}
		return d, nil
	}, ErrConflict},
	{"nothing more arrives", func([]byte) ([]byte, error) { return nil, nil }, errNoAnswer},
	{"an overrun", func([]byte) ([]byte, error) { return nil, unix.ENOBUFS }, errNoAnswer},
}

// TestReadFaults lets something go wrong at every moment of a reading. What is read is right all the same, because the
// reading is done again; where it goes wrong each time there is an error and never half a table.
func TestReadFaults(t *testing.T) {
	c, w := openFaulty(t)
	want := program()
	commit(t, c, createPlan(plan.Create, want.Tables...))
	for _, fault := range readFaults {
		t.Run(fault.name, func(t *testing.T) {
			moments := 0
			for at := 0; ; at++ {
				moment, spoiled := 0, false
				w.onReceive = func(d []byte) ([]byte, error) {
					if moment++; moment-1 == at && d != nil {
						spoiled = true
						return fault.spoil(d)
					}
					return d, nil
				}
				s, err := c.Read(t.Context(), "svcctl")
				if err != nil {
					t.Fatalf("at moment %d: %v", at, err)
				}
				if p := plan.Diff(s.Ruleset, want); !p.Empty() || len(s.Unknown) > 0 {
					t.Fatalf("at moment %d: what was read differs: %+v, unknown %q", at, p.Count(), s.Unknown)
				}
				if at >= moment {
					break
				}
				if spoiled {
					moments++
				}
			}
			if moments < 20 {
				t.Errorf("it happened at %d moments", moments)
			}
			w.onReceive = func(d []byte) ([]byte, error) {
				if d == nil {
					return nil, nil
				}
				return fault.spoil(d)
			}
			if s, err := c.Read(t.Context(), "svcctl"); !errors.Is(err, fault.forEver) {
				t.Errorf("each time: got %v, %v; want %v", s, err, fault.forEver)
			}
			if err := c.VerifyCounts(t.Context(), want); !errors.Is(err, fault.forEver) {
				t.Errorf("counting, each time: got %v, want %v", err, fault.forEver)
			}
			w.onReceive = nil
			sameRuleset(t, want, read(t, c).Ruleset)
		})
	}
}

// A dump can end with any error, which then is the error of the reading.
func TestDumpEndsWithError(t *testing.T) {
	c, w := openFaulty(t)
	commit(t, c, createPlan(plan.Create, program().Tables...))
	w.onReceive = func(d []byte) ([]byte, error) {
		if isDump(d) {
			d = ended(d, unix.ENOMEM)
		}
		return d, nil
	}
	if s, err := c.Read(t.Context(), "svcctl"); !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "ip svcctl") {
		t.Errorf("got %v, %v; want ENOMEM and the table's name", s, err)
	}
}

// isAnswerTo reports whether a datagram is what the kernel says about the messages with these sequence numbers.
func isAnswerTo(d []byte, first, last uint32) bool {
	for h := range messages(d) {
		return h.typ == unix.NLMSG_ERROR && first <= h.seq && h.seq <= last
	}
	return false
}

// loseAnswers has every answer to a transaction vanish, and nothing else.
func (w *faultyWire) loseAnswers() {
	var first, last uint32
	w.onSend = func(d []byte) ([]byte, error) {
		if isBatch(d) {
			first = 0
			for h := range messages(d) {
				if last = h.seq; first == 0 {
					first = h.seq
				}
			}
		}
		return d, nil
	}
	w.onReceive = func(d []byte) ([]byte, error) {
		if d != nil && isAnswerTo(d, first, last) {
			return nil, unix.ENOBUFS
		}
		return d, nil
	}
}

// TestLostAnswer loses what the kernel says about a transaction. What is certain is said; what is not is not guessed.
func TestLostAnswer(t *testing.T) {
	want := program()
	good := createPlan(plan.Create, want.Tables...)
	broken := programTable(g.IPv4)
	editElement(broken.Set("services"), 0, func(e *g.Element) { e.Data.Verdict.Chain = "nowhere" })
	bad := createPlan(plan.Create, broken)
	disturb := func(t *testing.T) {
		t.Helper()
		other, err := Open("")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		commit(t, other, createPlan(plan.Create, &g.Table{Name: "foreign"}))
	}
	tests := []struct {
		name     string
		plan     *plan.Plan
		disturb  func(t *testing.T)
		anyState bool // the transaction is not conditional
		refused  bool // it is certain that nothing is in force
		tables   int
	}{
		{"of a transaction that is in force", good, nil, false, false, 2},
		{"of a refused one", bad, nil, false, true, 0},
		{"of one that another was faster than", good, disturb, false, false, 0},
		{"of an unconditional one in force", good, nil, true, false, 2},
		{"of an unconditional one refused", bad, nil, true, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, w := openFaulty(t)
			commit(t, c, createPlan(plan.Create, &g.Table{Name: "first"}))
			generation, err := c.Generation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tt.disturb != nil {
				tt.disturb(t)
			}
			if tt.anyState {
				generation = 0
			}
			w.loseAnswers()
			err = c.Commit(t.Context(), tt.plan, generation)
			var lost *LostAnswerError
			if !errors.As(err, &lost) {
				t.Fatalf("got %v, want a LostAnswerError", err)
			}
			if lost.Refused() != tt.refused || lost.Before != generation || lost.After == 0 {
				t.Errorf("got %+v, certain that it is refused %v, want %v", lost, lost.Refused(), tt.refused)
			}
			w.onSend, w.onReceive = nil, nil
			s := read(t, c)
			if s.Generation != lost.After {
				t.Errorf("the generation is %d, said to be %d", s.Generation, lost.After)
			}
			if len(s.Ruleset.Tables) != tt.tables {
				t.Errorf("%d tables are in force, want %d", len(s.Ruleset.Tables), tt.tables)
			}
		})
	}
}

// Where part of what the kernel said is lost, a success among the rest may not be all there was to say.
func TestAcknowledgementAfterOverrun(t *testing.T) {
	c, w := openFaulty(t)
	overrun := true
	w.onReceive = func(d []byte) ([]byte, error) {
		if d != nil && overrun {
			overrun = false
			// The kernel reports the overrun before what it still has.
			rest := append([]byte(nil), d...)
			next := w.onReceive
			w.onReceive = func([]byte) ([]byte, error) {
				w.onReceive = next
				return rest, nil
			}
			return nil, unix.ENOBUFS
		}
		return d, nil
	}
	var lost *LostAnswerError
	if err := c.Commit(t.Context(), createPlan(plan.Create, programTable(g.IPv4)), 0); !errors.As(err, &lost) || lost.Refused() {
		t.Errorf("got %v, want a LostAnswerError that is not certain", err)
	}
}

// An error in receiving what the kernel says is no error in sending.
func TestReceiveFailsAfterCommit(t *testing.T) {
	c, w := openFaulty(t)
	w.onSend = func(d []byte) ([]byte, error) {
		if isBatch(d) {
			w.onReceive = func([]byte) ([]byte, error) {
				w.onReceive = nil
				return nil, unix.EIO
			}
		}
		return d, nil
	}
	err := c.Commit(t.Context(), createPlan(plan.Create, programTable(g.IPv4)), 0)
	var lost *LostAnswerError
	if !errors.As(err, &lost) || !errors.Is(err, unix.EIO) {
		t.Errorf("got %v, want a LostAnswerError that wraps EIO", err)
	}
	if n := len(read(t, c).Ruleset.Tables); n != 1 {
		t.Errorf("there are %d tables, want 1", n)
	}
}

// The question that is to find out can be lost, too.
func TestLostAnswerAndGeneration(t *testing.T) {
	c, w := openFaulty(t)
	generation, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.onReceive = func([]byte) ([]byte, error) { return nil, nil }
	err = c.Commit(t.Context(), createPlan(plan.Create, programTable(g.IPv4)), generation)
	var lost *LostAnswerError
	if !errors.As(err, &lost) || lost.Refused() || lost.After != 0 || !errors.Is(err, errNoAnswer) {
		t.Errorf("got %v, want a LostAnswerError without a generation", err)
	}
}

// The kernel acknowledges each message of a transaction whose end is missing, and drops it all the same.
func TestTransactionCutShort(t *testing.T) {
	c, w := openFaulty(t)
	commit(t, c, createPlan(plan.Create, &g.Table{Name: "first"}))
	generation, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := createPlan(plan.Create, programTable(g.IPv4))
	for _, cut := range []int{messageHeader + familyHeader, 2000} {
		w.onSend = func(d []byte) ([]byte, error) {
			if isBatch(d) {
				d = d[:len(d)-cut]
			}
			return d, nil
		}
		err = c.Commit(t.Context(), p, generation)
		var lost *LostAnswerError
		if !errors.As(err, &lost) || !lost.Refused() {
			t.Errorf("%d bytes less: got %v, want a LostAnswerError that is certain", cut, err)
		}
		w.onSend = nil
		if n := len(read(t, c).Ruleset.Tables); n != 0 {
			t.Errorf("%d bytes less: there are %d tables", cut, n)
		}
	}
}

// TestSendFaults has sendmsg fail: then the kernel has got nothing.
func TestSendFaults(t *testing.T) {
	c, w := openFaulty(t)
	p := createPlan(plan.Create, programTable(g.IPv4))
	for _, errno := range []unix.Errno{unix.ENOBUFS, unix.EMSGSIZE, unix.EAGAIN, unix.ENOMEM, unix.ECONNREFUSED} {
		w.onSend = func(d []byte) ([]byte, error) {
			if isBatch(d) {
				return nil, errno
			}
			return d, nil
		}
		err := c.Commit(t.Context(), p, 0)
		var lost *LostAnswerError
		if err == nil || errors.As(err, &lost) {
			t.Errorf("%v: got %v, want a certain failure", errno, err)
		}
		var size *BatchSizeError
		if errno == unix.EMSGSIZE && (!errors.As(err, &size) || size.Bytes < 1000) || errno != unix.EMSGSIZE && !errors.Is(err, errno) {
			t.Errorf("%v: got %v", errno, err)
		}
		w.onSend = nil
		if n := len(read(t, c).Ruleset.Tables); n != 0 {
			t.Errorf("%v: there are %d tables", errno, n)
		}
	}
	interruptions := 3
	w.onSend = func(d []byte) ([]byte, error) {
		if interruptions--; interruptions >= 0 {
			return nil, unix.EINTR
		}
		return d, nil
	}
	commit(t, c, p)
	w.onSend = func([]byte) ([]byte, error) { return nil, unix.ENOBUFS }
	if _, err := c.Read(t.Context(), "svcctl"); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("reading: got %v, want ENOBUFS", err)
	}
}

// TestOverrun makes the kernel say more than the socket holds: the first that it says is what counts, and is there.
func TestOverrun(t *testing.T) {
	c := openPrivate(t)
	commit(t, c, createPlan(plan.Create, &g.Table{Name: "svcctl"}))
	if err := unix.SetsockoptInt(c.sock.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the least that there is
		t.Fatal(err)
	}
	overruns := 0
	c.sock.wire = countOverruns{c.sock.wire, &overruns}
	var away []*g.Chain
	for i := range 2000 {
		away = append(away, &g.Chain{Name: fmt.Sprintf("missing-%d", i)})
	}
	p := &plan.Plan{Tables: []plan.TableChange{{Op: plan.Update, Name: "svcctl", DelChains: away}}}
	err := c.run(p, 0)
	var k *KernelError
	if !errors.As(err, &k) || k.Errno != unix.ENOENT || k.What != "ip svcctl chain missing-0" {
		t.Errorf("got %v, want ENOENT at the first chain", err)
	}
	if overruns == 0 {
		t.Error("there was room for all of it")
	}
}

type countOverruns struct {
	wire
	n *int
}

func (w countOverruns) receive(buf []byte) (int, error) {
	n, err := w.wire.receive(buf)
	if errors.Is(err, unix.ENOBUFS) {
		*w.n++
	}
	return n, err
}

// TestCancelBeforeCommit leaves everything as it is.
func TestCancelBeforeCommit(t *testing.T) {
	c := openPrivate(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Commit(ctx, createPlan(plan.Create, programTable(g.IPv4)), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(read(t, c).Ruleset.Tables); n != 0 {
		t.Errorf("there are %d tables", n)
	}
}
