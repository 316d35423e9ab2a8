package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// churn runs the test that updates under load, as often as it takes for a thousand updates, and sums up what it says.
func (b *bench) churn(ctx context.Context) error {
	const wanted, tries = 1000, 5
	var updates, requests, lost, runs int
	for updates < wanted && runs < tries {
		runs++
		note("churn: run %d", runs)
		cmd := exec.CommandContext(ctx, "go", "test", "./internal/packet", "-run", "^TestUpdateUnderLoad$", "-count", "1", "-v")
		cmd.Env = append(os.Environ(), "SVCCTL_REQUIRE_NETNS=1", "SVCCTL_NETLAB_OUTSIDE=") // it has a lab of its own
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		err := cmd.Run()
		lost += len(lostLines.FindAll(out.Bytes(), -1))
		updates += sum(updateLines, out.Bytes())
		requests += sum(answerLines, out.Bytes())
		if err != nil && lost == 0 {
			return fmt.Errorf("%w\n%s", err, out.Bytes())
		}
	}
	t := table{head: []string{"updates", "requests answered meanwhile (TCP, UDP, SCTP)", "requests lost", "0 in 1,000 updates"}}
	t.add(strconv.Itoa(updates), strconv.Itoa(requests), strconv.Itoa(lost), b.verdict(lost == 0 && updates >= wanted))
	t.print()
	return nil
}

// What the test prints.
var (
	updateLines = regexp.MustCompile(`: (\d+) updates\n`)
	answerLines = regexp.MustCompile(`: (\d+) requests answered\n`)
	lostLines   = regexp.MustCompile(`: lost: `)
)

func sum(pattern *regexp.Regexp, text []byte) int {
	n := 0
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		k, _ := strconv.Atoi(string(m[1])) // the pattern matches digits only
		n += k
	}
	return n
}
