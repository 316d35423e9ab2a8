package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shownOn runs svcctl with a standard output that is a terminal, or is none.
func shownOn(t *testing.T, terminal bool, args ...string) string {
	t.Helper()
	return shownIn(t.Context(), t, terminal, args...)
}

func shownIn(ctx context.Context, t *testing.T, terminal bool, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &environment{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, terminal: terminal,
		getenv:   func(string) string { return "" },
		now:      func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
		hostname: func() (string, error) { return "node-a", nil },
	}
	args = append(args, "--state-dir", t.TempDir(), "--config", os.DevNull)
	if code := execute(ctx, env, args); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	return stdout.String()
}

// TestTemplatesOnATerminal: what a template picks goes to other programs as it is, and never controls a terminal. The
// template's own line feeds and tabs stay in either case.
func TestTemplatesOnATerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	manifest := "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {x: \"a\\e[2Jb\\rc\"}}\n" +
		"spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	get := []string{"get", "svc", "a", "-f", file, "-o", `jsonpath={.metadata.annotations.x}{"\t"}{.metadata.name}{"\n"}`}
	if got, want := shownOn(t, false, get...), "a\x1b[2Jb\rc\ta\n"; got != want {
		t.Errorf("to a file: %q, want %q", got, want)
	}
	if got, want := shownOn(t, true, get...), "a\uFFFD[2Jb\uFFFDc\ta\n"; got != want {
		t.Errorf("to a terminal: %q, want %q", got, want)
	}
}

// TestAge: ages are counted by the clock of the command line.
func TestAge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	manifest := "apiVersion: v1\nkind: Service\nmetadata: {name: a, creationTimestamp: \"2026-02-27T10:00:00Z\"}\n" +
		"spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shownOn(t, true, "get", "svc", "-f", file, "--no-headers"); got != "a     ClusterIP   10.96.0.1   <none>   80/TCP   2d2h\n" {
		t.Errorf("got %q", got)
	}
}

// TestWatchIsInterrupted before it has shown anything: that is an end like any other.
func TestWatchIsInterrupted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := shownIn(ctx, t, false, "get", "svc", "-w", "-f", file); got != "" {
		t.Errorf("shown: %q", got)
	}
}
