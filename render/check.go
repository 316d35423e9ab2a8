package render

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// CheckFinding is what "svcctl check" says about one thing. The words are those of package preflight.
type CheckFinding struct {
	Check    string   `json:"check"`            // what was looked at: "forwarding"
	Subject  string   `json:"subject"`          // of it: "IPv4"
	Answer   string   `json:"answer"`           // is it as it has to be: yes, no or can't tell
	Level    string   `json:"level"`            // ok, note, warning or problem
	Message  string   `json:"message"`          // what is, and what it means
	Services []string `json:"services"`         // to whom it matters, "namespace/name"; none: to all or nobody
	Remedy   string   `json:"remedy,omitempty"` // what to do
}

// CheckReport is all of them.
type CheckReport struct {
	// Asked says what the host was held against: "manifests", "applied", or "nothing" where there are neither.
	Asked    string         `json:"asked"`
	Services int            `json:"services"` // how many
	Problems int            `json:"problems"`
	Warnings int            `json:"warnings"` // those that could not be told included
	Findings []CheckFinding `json:"findings"`
}

// NewCheckReport counts.
func NewCheckReport(asked string, services int, findings []CheckFinding) *CheckReport {
	r := &CheckReport{Asked: asked, Services: services, Findings: findings}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Services == nil {
			f.Services = []string{} // an empty list, and not null
		}
		switch f.Level {
		case "problem":
			r.Problems++
		case "warning":
			r.Warnings++
		}
	}
	if r.Findings == nil {
		r.Findings = []CheckFinding{}
	}
	return r
}

// CheckJSON writes a report as JSON.
func CheckJSON(w io.Writer, r *CheckReport) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

const (
	answerWidth = 12 // of "can't tell" and two blanks
	// shownServices is how many Services a finding names in text; JSON has all.
	shownServices = 5
)

// CheckText writes a report for people: the checks as headings, a line for each finding with its answer, and below what is
// not as it has to be, the Services that it matters to and what to do.
func CheckText(w io.Writer, r *CheckReport) error {
	var b strings.Builder
	heading := ""
	for i := 0; i < len(r.Findings); i++ {
		f := r.Findings[i]
		if f.Check != heading {
			heading = f.Check
			fmt.Fprintf(&b, "%s\n", plain(f.Check))
		}
		subject := f.Subject
		// What is to be said in the same words takes one line.
		for i+1 < len(r.Findings) && alike(&f, &r.Findings[i+1]) {
			i++
			subject += ", " + r.Findings[i].Subject
		}
		fmt.Fprintf(&b, "  %-*s%s: %s\n", answerWidth, f.Answer, plain(subject), plain(f.Message))
		if f.Level == "ok" {
			continue
		}
		if len(f.Services) > 0 {
			fmt.Fprintf(&b, "  %*s%s: %s\n", answerWidth, "", f.Level, plain(someOf(f.Services)))
		} else {
			fmt.Fprintf(&b, "  %*s%s\n", answerWidth, "", f.Level)
		}
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  %*sdo: %s\n", answerWidth, "", plain(f.Remedy))
		}
	}
	fmt.Fprintf(&b, "%s\n", r.verdict())
	_, err := io.WriteString(w, b.String())
	return err
}

// alike reports whether two findings differ in their subject only.
func alike(a, b *CheckFinding) bool {
	return a.Check == b.Check && a.Answer == b.Answer && a.Level == b.Level && a.Message == b.Message && a.Remedy == b.Remedy &&
		slices.Equal(a.Services, b.Services)
}

func someOf(services []string) string {
	if len(services) <= shownServices {
		return strings.Join(services, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(services[:shownServices], ", "), len(services)-shownServices)
}

func (r *CheckReport) verdict() string {
	what := "no services"
	switch r.Asked {
	case "manifests":
		what = counted(r.Services, "service") + " of the manifests"
	case "applied":
		what = counted(r.Services, "applied service")
	}
	return fmt.Sprintf("%s: %s, %s", what, counted(r.Problems, "problem"), counted(r.Warnings, "warning"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
