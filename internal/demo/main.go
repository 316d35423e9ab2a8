// Command demo shows svcctl at work on a network of its own: real namespaces, real HTTP requests, the real command line.
//
// It is no phase of the compiler. It takes the svcctl binary and the examples directory, gives one screen of text, and
// exits with 1 where anything was not as the screen says it should be: a request lost, an endpoint left out, something
// left over. It may assume Linux and either root or user namespaces, and touches nothing of the host.
//
//	make demo
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// patience is how long the whole demonstration may take.
const patience = time.Minute

func main() {
	os.Exit(netlab.Main(run))
}

func run() int {
	binary := flag.String("svcctl", "bin/svcctl", "the svcctl to show")
	examples := flag.String("examples", "examples", "the directory of the examples")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()
	if err := show(ctx, os.Stdout, *binary, *examples); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}
