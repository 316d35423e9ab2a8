// Command bench measures svcctl against its budgets: every figure is a ratio of two things measured side by side in the
// same run, in private network namespaces. `make bench` runs it; docs/benchmarks.md keeps what it printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/svcctl/svcctl/internal/netlab"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		if err := child(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(netlab.Main(run))
}

func run() int {
	var b bench
	flag.StringVar(&b.svcctl, "svcctl", "bin/svcctl", "the program to measure")
	flag.IntVar(&b.services, "services", 10_000, "number of Services")
	flag.IntVar(&b.endpoints, "endpoints", 10, "endpoints of each Service")
	flag.IntVar(&b.rounds, "rounds", 5, "how often to measure each thing; the median counts")
	flag.Parse()
	dir, err := os.MkdirTemp("", "svcctl-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	if b.svcctl, err = filepath.Abs(b.svcctl); err == nil {
		err = b.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}
