package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// table is a Markdown table.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table and a blank line.
func (t *table) print(out io.Writer) {
	line := func(cells []string) { fmt.Fprintln(out, "| "+strings.Join(cells, " | ")+" |") }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, r := range t.rows {
		line(r)
	}
	fmt.Fprintln(out)
}

// verdict says whether a budget is met, and counts.
func (b *bench) verdict(met bool) string {
	if met {
		b.met++
		return "met"
	}
	b.missed++
	return "**not met**"
}

// atMost gives the verdict on a ratio that has a limit.
func (b *bench) atMost(got, limit float64) string { return b.verdict(got <= limit) }

// within gives the verdict on a time that has a limit.
func (b *bench) within(got, limit time.Duration) string { return b.verdict(got <= limit) }

func ratioText(r float64) string {
	if r < 0.1 {
		return fmt.Sprintf("%.3f", r)
	}
	return fmt.Sprintf("%.2f", r)
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

// short gives a time in three digits or so.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 999500*time.Microsecond: // or it would be 1000 ms
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d >= 100*time.Microsecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.3f ms", d.Seconds()*1e3)
	}
}
