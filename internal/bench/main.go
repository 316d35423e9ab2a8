// Command bench measures svcctl against its budgets: every figure is a ratio of things measured side by side in the same
// run, in turn, in private network namespaces. `make bench` runs all of it; -only chooses sections. It prints Markdown
// tables with a verdict for every budget, which docs/benchmarks.md keeps, and says on standard error what it is doing.
//
// With -plot it measures how cost grows with the number of Services instead, and writes that as a picture.
//
// It uses the phases as the command line does, through their public functions, and the built program as a process. A
// budget that is not met is no error: machines differ, and a figure is not a test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/svcctl/svcctl/internal/netlab"
)

// bench is one run.
type bench struct {
	svcctl    string // the program to measure
	dir       string // for inputs and state; gone after the run
	rounds    int
	workloads []size
	packets   packetOptions

	out io.Writer // what a section prints
	// document keeps what the sections print; "" for none.
	document document

	met, missed int // budgets
}

// section is a part of the run that can be chosen.
type section struct {
	name, title string
	run         func(*bench, context.Context) error
}

var sections = []section{
	{"phases", "The pure phases, and the size of the program", (*bench).phases},
	{"operations", "Element operations per endpoint", (*bench).operations},
	{"commit", "From the compiled graph to the kernel", (*bench).commits},
	{"update", "One endpoint replaced, added or removed", (*bench).updates},
	{"apply", "`svcctl apply` as a process", (*bench).applies},
	{"packets", "The first packet of a connection", (*bench).firstPackets},
	{"counters", "Counting", (*bench).counters},
	{"churn", "Connections while endpoints churn", (*bench).churn},
	{"names", "Names", (*bench).dns},
	{"profile", "Where the time goes", (*bench).profiles},
}

func main() {
	if command, ok := asChild(); ok {
		os.Exit(child(context.Background(), command))
	}
	os.Exit(netlab.Main(run))
}

func run() int {
	if err := runBench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func runBench() error {
	b := &bench{packets: packetOptions{series: defaultSeries}}
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	only := flag.String("only", "", "sections to run, with commas between them: "+strings.Join(names, ", "))
	workloads := flag.String("workloads",
		"10000x10/ipv4,10000x10/ipv6,10000x10/dual,30000x10/ipv4,30000x10/ipv6,100000x3/ipv4",
		"Services × endpoints and the families of the workloads that are committed and applied")
	write := flag.String("write", "", "put what the sections print into their places in this Markdown file, too")
	plot := flag.String("plot", "", "write how cost grows as an SVG to this file, and run no section")
	flag.StringVar(&b.svcctl, "svcctl", "bin/svcctl", "the program to measure")
	flag.IntVar(&b.rounds, "rounds", 5, "how often to measure each thing; the median counts")
	flag.IntVar(&b.packets.services, "packet-services", 30_000, "the largest number of Services for the first packet")
	flag.IntVar(&b.packets.rounds, "packet-rounds", 15, "how often to send a series of first packets")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if b.rounds < 1 || b.packets.services < 1 || b.packets.rounds < 1 {
		return errors.New("nothing can be measured less than once")
	}
	b.document = document(*write)
	var err error
	if b.workloads, err = parseSizes(*workloads); err != nil {
		return err
	}
	if b.svcctl, err = filepath.Abs(b.svcctl); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "svcctl-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	// An interrupted run takes its namespaces and its processes with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *plot != "" {
		chosen = []section{{"growth", "How cost grows", func(b *bench, ctx context.Context) error { return b.plot(ctx, *plot) }}}
	}
	return b.sections(ctx, chosen)
}

// choose gives the sections of a list of names; all of them for an empty one.
func choose(names string) ([]section, error) {
	if names == "" {
		return sections, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range sections {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no section %q", name)
		}
	}
	return chosen, nil
}

func (b *bench) sections(ctx context.Context, chosen []section) error {
	here := machine()
	fmt.Printf("%s\n\n", here)
	for _, s := range chosen {
		note("%s", s.name)
		fmt.Printf("## %s\n\n", s.title)
		var text strings.Builder
		b.out = io.MultiWriter(os.Stdout, &text)
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if b.document == "" {
			continue
		}
		if err := errors.Join(b.document.replace(s.name, text.String()), b.document.replace("machine", here)); err != nil {
			return err
		}
	}
	if b.met+b.missed > 0 {
		fmt.Printf("%d budgets met, %d not met.\n", b.met, b.missed)
	}
	return nil
}

// note says on standard error what the run is at.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
