package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// document is a Markdown file that keeps what the sections print: each between the comments "<!-- NAME -->" and
// "<!-- /NAME -->". Everything else in it is written by people.
type document string

// replace puts a section's text in place of what the file has of it.
func (d document) replace(name, text string) error {
	b, err := os.ReadFile(string(d))
	if err != nil {
		return err
	}
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(b), open)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s: no place for %s: it would be between %q and %q", d, name, strings.TrimSpace(open), end)
	}
	return os.WriteFile(string(d), []byte(before+open+"\n"+strings.TrimSpace(text)+"\n\n"+end+after), 0o644)
}

// machine says in one line where the figures are from.
func machine() string {
	var u unix.Utsname
	kernel := "an unknown kernel"
	if unix.Uname(&u) == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	nft := "no nft"
	if b, err := exec.Command("nft", "--version").Output(); err == nil {
		fields := strings.Fields(string(b)) // nftables v1.0.6 (Lester Gooch #5)
		nft = "nft " + strings.TrimPrefix(fields[min(1, len(fields)-1)], "v")
	}
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(b), " ")
	}
	return fmt.Sprintf("%d processors (%s), %s, %s, %s; load average before the run: %s.", runtime.NumCPU(), model, kernel, nft,
		strings.Replace(runtime.Version(), "go", "Go ", 1), load)
}
