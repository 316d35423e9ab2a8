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
	var updates, lost, runs int
	var requests [3]int
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
		for i, pattern := range answerLines {
			requests[i] += sum(pattern, out.Bytes())
		}
		if err != nil && lost == 0 {
			return fmt.Errorf("%w\n%s", err, out.Bytes())
		}
	}
	t := table{head: []string{
		"updates", "answered meanwhile: TCP", "UDP", "SCTP", "lost", "1,000 updates and 0 lost",
	}}
	t.add(thousands(updates), thousands(requests[0]), thousands(requests[1]), thousands(requests[2]), strconv.Itoa(lost),
		b.verdict(lost == 0 && updates >= wanted))
	t.print(b.out)
	return nil
}

// What the test prints.
var (
	updateLines = regexp.MustCompile(`: (\d+) updates\n`)
	answerLines = [...]*regexp.Regexp{
		regexp.MustCompile(`: (\d+) TCP requests answered\n`),
		regexp.MustCompile(`: (\d+) UDP requests answered\n`),
		regexp.MustCompile(`: (\d+) SCTP requests answered\n`),
	}
	lostLines = regexp.MustCompile(`: lost: `)
)

func sum(pattern *regexp.Regexp, text []byte) int {
	n := 0
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		k, _ := strconv.Atoi(string(m[1])) // the pattern matches digits only
		n += k
	}
	return n
}
