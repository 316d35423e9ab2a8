package systemd

import (
	"path/filepath"
	"strings"
	"testing"
)

// systemd finds nothing wrong with the units, and every service is shut in: an exposure level of 2.0 at most.
func TestAnalyze(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.boot()
	var units, services []string
	for _, at := range unitFiles(t) {
		name := strings.Replace(filepath.Base(at), "@.", "@etc-svcctl-services-a.", 1)
		switch filepath.Ext(name) {
		case ".service":
			services = append(services, name)
			units = append(units, name)
		case ".path", ".timer":
			units = append(units, name)
		}
	}
	if len(services) < 5 {
		t.Fatalf("the services are %v", services)
	}
	command := append([]string{"-c", `exec systemd-analyze verify --man=no "$@" 2>&1`, "sh"}, units...)
	out, err := h.Run(t.Context(), "", "sh", command...)
	if err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	for _, service := range services {
		out, err := h.Run(t.Context(), "", "systemd-analyze", "security", "--no-pager", "--threshold=20", service)
		if err != nil {
			t.Errorf("%s: %v\n%s", service, err, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		t.Log(lines[len(lines)-1])
	}
}
