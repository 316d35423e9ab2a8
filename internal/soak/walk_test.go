package soak

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// walk is a random walk over what operators do and what befalls them.
type walk struct {
	*host
	r        *rand.Rand
	settings []setting
	cases    [][]string // files of the golden cases that can be applied as they are
	services configuration
	wanted   *graph.Ruleset // what the kernel should have
	file     string         // which says so; "" where none does
	did      map[string]int
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// step is something that happens. How often it does, of a thousand times, is what operators and machines make of it.
type step struct {
	name  string
	share int
	do    func(w *walk)
}

var steps = []step{
	{"a few services change", 500, (*walk).change},
	{"everything is another", 100, (*walk).exchange},
	{"nothing changes", 60, (*walk).repeat},
	{"another build applies", 40, (*walk).otherBuild},
	{"the configuration changes", 15, (*walk).reconfigure},
	{"a golden case is applied", 25, (*walk).golden},
	{"rollback", 30, (*walk).rollBack},
	{"a change is confirmed", 20, (*walk).confirm},
	{"a change is not confirmed", 20, (*walk).doNotConfirm},
	{"killed while it applies", 60, (*walk).kill},
	{"three at once", 20, (*walk).atOnce},
	{"others flush while it applies", 20, (*walk).flushed},
	{"others flush, repair brings it back", 20, (*walk).repair},
	{"others meddle, apply mends it", 25, (*walk).meddled},
	{"the state directory is lost", 15, (*walk).lose},
	{"the state directory is damaged", 20, (*walk).damage},
	{"services are deleted by name", 5, (*walk).deleteSome},
	{"everything is deleted", 5, (*walk).deleteAll},
}

func TestSoak(t *testing.T) {
	applies := int(number(t, "SOAK", 200))
	if testing.Short() {
		t.Skip("hundreds of processes: not in short mode")
	}
	seed := number(t, "SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_SEED=%d SOAK=%d", seed, applies)
	w := &walk{
		settings: settings(t), host: newHost(t), r: rand.New(rand.NewPCG(seed, 0)),
		wanted: &graph.Ruleset{}, did: map[string]int{},
	}
	w.setting = w.settings[0]
	w.findCases()
	steps := slices.Clone(steps)
	if only := os.Getenv("SOAK_STEP"); only != "" {
		steps = slices.DeleteFunc(steps, func(s step) bool { return s.name != only })
	}
	total := 0
	for _, s := range steps {
		total += s.share
	}
	w.exchange()
	long := startLong(t, w.host)
	rec := newRecord(w.host, long, applies)
	start := time.Now()
	for n := 0; w.applies < applies; n++ {
		at, i := w.r.IntN(total), 0
		for ; at >= steps[i].share; i++ {
			at -= steps[i].share
		}
		steps[i].do(w)
		w.did[steps[i].name]++
		if w.has(false, w.wanted) != 0 {
			t.Fatalf("step %d, %s: the kernel does not have what is wanted", n, steps[i].name)
		}
		if n%50 == 0 && w.file != "" {
			w.must(0, "apply", "-f", w.file) // so that there is a record to verify
			w.must(0, "verify")
		}
		rec.sample(w.applies)
	}
	rec.end(time.Since(start))
	last := randomConfiguration(w.r)
	last[0] = service{kind: "ClusterIP", protocol: "TCP", endpoints: 1, first: 1}
	w.to(last)
	long.mustFollow(w.services) // those that ran all along
	rec.report(t, w.did)
	rec.mustBeFlat(t)
}

// findCases finds the golden cases that need no configuration, are valid and say all addresses themselves.
func (w *walk) findCases() {
	dirs, err := filepath.Glob("../../golden/cases/*")
	if err != nil || len(dirs) == 0 {
		w.t.Fatalf("golden cases: %v", err)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/*.yaml")
		if err != nil {
			w.t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "flows.yaml" })
		if slices.ContainsFunc(files, func(f string) bool { return filepath.Base(f) == "config.yaml" }) {
			continue
		}
		for i, f := range files {
			if files[i], err = filepath.Abs(f); err != nil {
				w.t.Fatal(err)
			}
		}
		if len(files) == 0 {
			continue
		}
		if model, allocated := w.understand(files...); model != nil && allocated == 0 && len(model.Services) > 0 {
			w.cases = append(w.cases, files)
		}
	}
	if len(w.cases) < 3 {
		w.t.Fatalf("only %q of the golden cases can be applied as they are", w.cases)
	}
}

// draw makes a configuration the next one: a file and what it means.
func (w *walk) draw(c configuration) (file string, rs *graph.Ruleset) {
	file = w.path("services-" + strconv.Itoa(w.r.IntN(3)) + ".yaml")
	if err := os.WriteFile(file, []byte(c.yaml()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.services = c
	return file, w.compile(file)
}

func (w *walk) next() configuration {
	if len(w.services) == 0 || w.r.IntN(4) == 0 {
		return randomConfiguration(w.r)
	}
	return w.services.changed(w.r)
}

// apply applies a file.
func (w *walk) apply(build int, file string, rs *graph.Ruleset) {
	w.must(build, "apply", "-f", file)
	w.file, w.wanted = file, rs
}

func (w *walk) to(c configuration) {
	file, rs := w.draw(c)
	w.apply(0, file, rs)
}

func (w *walk) change() {
	if len(w.services) == 0 {
		w.exchange()
		return
	}
	w.to(w.services.changed(w.r))
}

func (w *walk) exchange() { w.to(randomConfiguration(w.r)) }

// known makes sure that what is in force is recorded.
func (w *walk) known() {
	if w.file == "" || len(w.services) == 0 {
		w.exchange()
		return
	}
	w.to(w.services)
}

func (w *walk) repeat() { w.known(); w.must(0, "apply", "-f", w.file) }

func (w *walk) otherBuild() {
	w.known()
	file, rs := w.draw(w.next())
	w.apply(1, file, rs)
	w.must(0, "apply", "-f", file)
}

func (w *walk) reconfigure() {
	w.setting = w.settings[w.r.IntN(len(w.settings))]
	w.to(w.next())
}

func (w *walk) golden() {
	files, args := w.cases[w.r.IntN(len(w.cases))], []string{"apply"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	w.must(0, args...)
	w.services, w.file, w.wanted = nil, "", w.compile(files...)
}

func (w *walk) rollBack() {
	w.known()
	before, services, state := w.wanted, w.services, w.state()
	w.to(w.next())
	if w.state() != state { // else nothing was different
		w.must(0, "rollback")
		w.wanted, w.services, w.file = before, services, ""
	}
}

func (w *walk) confirm() {
	w.known()
	before := w.wanted
	file, rs := w.draw(randomConfiguration(w.r))
	w.must(0, "apply", "-f", file, "--confirm=1h")
	if !plan.Diff(before, rs).Empty() {
		w.must(0, "confirm")
	}
	w.file, w.wanted = file, rs
}

func (w *walk) doNotConfirm() {
	w.known()
	before, services := w.wanted, w.services
	file, rs := w.draw(randomConfiguration(w.r))
	if plan.Diff(before, rs).Empty() {
		return // there would be nothing to confirm
	}
	if w.r.IntN(10) == 0 {
		w.must(0, "apply", "-f", file, "--confirm=1s") // and the watchdog bites
	} else {
		w.must(0, "apply", "-f", file, "--confirm=1h")
		// While it waits no other change is made.
		if code, out := w.run(0, "apply", "-f", file); code != 4 {
			w.t.Fatalf("while a change waits: exit code %d: %s", code, out)
		}
		w.must(0, "rollback")
	}
	for deadline := time.Now().Add(time.Minute); w.waits(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the change is not undone")
		}
	}
	w.wanted, w.services, w.file = before, services, ""
}

// waits reports whether a change waits to be confirmed.
func (w *walk) waits() bool {
	_, err := os.Stat(filepath.Join(w.stateDir(), "own", "svcctl", "unconfirmed"))
	return err == nil
}

// state gives the number of the state that is recorded as applied.
func (w *walk) state() int {
	code, out := w.run(0, "status", "-o", "json")
	var s struct {
		Applied *struct {
			State int `json:"state"`
		} `json:"applied"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Applied == nil {
		w.t.Fatalf("status: exit code %d, %v: %s", code, err, out)
	}
	return s.Applied.State
}

func (w *walk) kill() {
	before := w.wanted
	file, rs := w.draw(w.next())
	cmd := w.command(w.programs[0], "apply", "-f", file)
	w.start(cmd)
	time.Sleep(time.Duration(w.r.Int64N(int64(30 * time.Millisecond))))
	_ = cmd.Process.Kill() // it may have ended
	w.count(w.wait(cmd))
	if w.has(true, before, rs) < 0 {
		w.t.Fatal("killed, and the kernel has neither what it had nor what was to come")
	}
	w.apply(0, file, rs)
}

func (w *walk) atOnce() {
	before := w.wanted
	rulesets := []*graph.Ruleset{before}
	type run struct {
		file string
		code chan int
		out  *bytes.Buffer
	}
	var runs []run
	for i := range 3 {
		c := w.next()
		file := w.path("at-once-" + strconv.Itoa(i) + ".yaml")
		if err := os.WriteFile(file, []byte(c.yaml()), 0o600); err != nil {
			w.t.Fatal(err)
		}
		rulesets = append(rulesets, w.compile(file))
		cmd, out := w.command(w.programs[i%2], "apply", "-f", file), &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		w.start(cmd)
		r := run{file, make(chan int, 1), out}
		go func() { _ = cmd.Wait(); r.code <- cmd.ProcessState.ExitCode() }()
		runs = append(runs, r)
	}
	for _, r := range runs {
		code := <-r.code
		w.count(code)
		if code != 0 {
			w.t.Fatalf("one of three at once: exit code %d: %s", code, r.out)
		}
	}
	if w.has(false, rulesets[1:]...) < 0 {
		w.t.Fatal("after three at once the kernel has what none of them wanted")
	}
	w.exchange()
}

func (w *walk) flushed() {
	file, rs := w.draw(w.next())
	cmd, out := w.command(w.programs[0], "apply", "-f", file), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	w.start(cmd)
	time.Sleep(time.Duration(w.r.Int64N(int64(20 * time.Millisecond))))
	w.nft("flush ruleset")
	code := w.wait(cmd)
	w.count(code)
	if code != 0 && code != 4 {
		w.t.Fatalf("flushed meanwhile: exit code %d: %s", code, out)
	}
	w.apply(0, file, rs)
}

func (w *walk) repair() {
	w.known()
	w.nft("flush ruleset")
	w.must(0, "verify", "--repair")
}

// meddling is what others do to our tables.
var meddling = []string{
	"flush ruleset", "delete table ip svcctl", "delete table ip6 svcctl",
	"add rule ip svcctl dispatch counter", "add chain ip svcctl stranger", "add counter ip svcctl hits",
	"flush map ip svcctl endpoints", "flush map ip svcctl services", "flush chain ip svcctl dispatch",
	"add element ip svcctl cluster-ips { 10.96.9.9 }",
}

func (w *walk) meddled() {
	w.nft(meddling[w.r.IntN(len(meddling))])
	w.to(w.next())
}

func (w *walk) lose() {
	if err := os.RemoveAll(w.stateDir()); err != nil {
		w.t.Fatal(err)
	}
	w.to(w.next())
}

// damage cuts or changes files of the state directory.
func (w *walk) damage() {
	w.known()
	store := filepath.Join(w.stateDir(), "own", "svcctl")
	var files []string
	for _, pattern := range []string{store + "/*", store + "/*/*", w.stateDir() + "/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			w.t.Fatal(err)
		}
		files = append(files, found...)
	}
	for range 1 + w.r.IntN(4) {
		f := files[w.r.IntN(len(files))]
		data, err := os.ReadFile(f)
		if err != nil || len(data) == 0 {
			continue // a directory, or gone
		}
		switch at := w.r.IntN(len(data)); w.r.IntN(3) {
		case 0:
			err = os.Remove(f)
		case 1:
			err = os.Truncate(f, int64(at))
		default:
			data[at] ^= 1 << w.r.IntN(8)
			err = os.WriteFile(f, data, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.to(w.next())
}

func (w *walk) deleteSome() {
	w.known()
	numbers := slices.Sorted(maps.Keys(w.services))
	if len(numbers) < 2 {
		return
	}
	c, rest := configuration{}, maps.Clone(w.services)
	for _, i := range numbers[:len(numbers)/2] {
		c[i] = rest[i]
		delete(rest, i)
	}
	gone := w.path("gone.yaml")
	if err := os.WriteFile(gone, []byte(c.yaml()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.must(0, "delete", "-f", gone)
	_, w.wanted = w.draw(rest)
	w.file = ""
}

func (w *walk) deleteAll() {
	w.must(0, "delete", "--all")
	w.wanted, w.file = &graph.Ruleset{}, ""
	if w.has(false, w.wanted) != 0 {
		w.t.Fatal("everything is deleted, and something is left")
	}
	w.exchange()
}
