package packages

import (
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The parts of a package that somebody would miss. Not all of it: what is a file in deploy/ or a manual page comes along.
var wanted = []string{
	"/usr/bin/svcctl",
	"/etc/svcctl/config.yaml",
	"/etc/svcctl/services",
	"/usr/lib/systemd/system/svcctl.service",
	"/usr/lib/systemd/system/svcctl-reload.path",
	"/usr/lib/systemd/system/svcctl-reload@.path",
	"/usr/lib/systemd/system/svcctl-verify.timer",
	"/usr/lib/systemd/system/nftables.service.d/svcctl.conf",
	"/usr/share/man/man1/svcctl.1.gz",
	"/usr/share/man/man1/svcctl-apply.1.gz",
	"/usr/share/bash-completion/completions/svcctl",
	"/usr/share/fish/vendor_completions.d/svcctl.fish",
	"/usr/share/doc/svcctl/copyright",
	"/usr/share/doc/svcctl/THIRD-PARTY-NOTICES.gz",
	"/usr/share/doc/svcctl/svcctl.cdx.json",
	"/usr/share/doc/svcctl/examples/stop-removes-rules.conf",
}

func TestDebs(t *testing.T) {
	t.Parallel()
	require(t, "dpkg-deb")
	dir := built(t, older)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		file := filepath.Join(dir, "svcctl_1.0.0_"+arch+".deb")
		fields := output(t, "dpkg-deb", "--field", file, "Package", "Version", "Architecture", "Depends")
		want := "Package: svcctl\nVersion: 1.0.0\nArchitecture: " + arch + "\nDepends: init-system-helpers\n"
		if d := cmp.Diff(want, fields); d != "" {
			t.Errorf("%s: %s", file, d)
		}
		if got := output(t, "dpkg-deb", "--info", file, "conffiles"); got != "/etc/svcctl/config.yaml\n" {
			t.Errorf("%s: conffiles %q", file, got)
		}
		root := t.TempDir()
		output(t, "dpkg-deb", "--extract", file, root)
		for _, name := range append(slices.Clone(wanted), "/usr/share/zsh/vendor-completions/_svcctl") {
			if _, err := os.Lstat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for line := range strings.Lines(output(t, "dpkg-deb", "--contents", file)) {
			if mode := line[:10]; !strings.Contains(line, " root/root ") || !slices.Contains([]string{"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}, mode) ||
				(mode == "-rwxr-xr-x") != strings.HasSuffix(line, "/usr/bin/svcctl\n") {
				t.Errorf("%s: %s", file, line)
			}
		}
		program(t, filepath.Join(root, "usr/bin/svcctl"), machine)
	}
}

// program checks that one is for a machine, and needs nothing but the kernel.
func program(t *testing.T, file string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %s, want %s", file, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not linked statically: it has %s", file, p.Type)
		}
	}
}

func TestRPMs(t *testing.T) {
	t.Parallel()
	require(t, "rpm")
	dir := built(t, older)
	for arch, name := range map[string]string{"x86_64": "svcctl-1.0.0-1.x86_64.rpm", "aarch64": "svcctl-1.0.0-1.aarch64.rpm"} {
		query := func(args ...string) string {
			return output(t, append(append([]string{"rpm", "--query", "--package", "--nosignature"}, args...), filepath.Join(dir, name))...)
		}
		if got, want := query("--queryformat=%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDHOST}"), "svcctl 1.0.0 "+arch+" Apache-2.0 localhost"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		files := strings.Fields(query("--list"))
		for _, want := range append(slices.Clone(wanted), "/usr/share/zsh/site-functions/_svcctl") {
			if !slices.Contains(files, want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
		if got := query("--configfiles"); got != "/etc/svcctl/config.yaml\n" {
			t.Errorf("%s: configuration files %q", name, got)
		}
		if got := query("--queryformat=[%{FILENAMES} %{FILEFLAGS:fflags}\n]"); !strings.Contains(got, "/etc/svcctl/config.yaml cn\n") {
			t.Errorf("%s: an edited configuration would be replaced", name)
		}
		if got := query("--requires"); !strings.Contains(got, "util-linux\n") {
			t.Errorf("%s requires %s", name, got)
		}
		scripts := query("--scripts")
		for _, file := range []string{"post", "preun", "postun"} {
			text, err := os.ReadFile(filepath.Join(repository, "deploy/packages/rpm", file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(scripts, string(text)) {
				t.Errorf("%s does not run %s", name, file)
			}
		}
	}
}

// The SBOM names the modules that the program was linked from, all of them.
func TestSBOM(t *testing.T) {
	t.Parallel()
	dir := built(t, older)
	text, err := os.ReadFile(filepath.Join(dir, "svcctl_1.0.0_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct {
		Format   string `json:"bomFormat"`
		Metadata struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &sbom); err != nil {
		t.Fatal(err)
	}
	if c := sbom.Metadata.Component; sbom.Format != "CycloneDX" || c.Name != "github.com/svcctl/svcctl" || c.Version != "1.0.0" {
		t.Errorf("it is %s, of %+v", sbom.Format, c)
	}
	listed := map[string]string{}
	for _, c := range sbom.Components {
		listed[c.Name] = c.Version
	}
	modules := 0
	for line := range strings.Lines(output(t, "go", "version", "-m", filepath.Join(dir, "svcctl_1.0.0_linux_amd64"))) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			modules++
			if listed[f[1]] != f[2] {
				t.Errorf("%s %s is listed as %q", f[1], f[2], listed[f[1]])
			}
		}
	}
	if modules == 0 || listed["std"] == "" {
		t.Errorf("%d modules, and the standard library %q", modules, listed["std"])
	}
}

// The program says which package, which commit and which toolchain it comes from.
func TestVersion(t *testing.T) {
	t.Parallel()
	dir := built(t, older)
	var got struct {
		Version, Revision, GoVersion, Platform string
		Modified                               bool
	}
	if err := json.Unmarshal([]byte(output(t, filepath.Join(dir, "svcctl_1.0.0_linux_amd64"), "version", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	head := strings.TrimSpace(output(t, "git", "-C", repository, "rev-parse", "HEAD"))
	modified := output(t, "git", "-C", repository, "status", "--porcelain") != ""
	toolchain := strings.TrimSpace(output(t, "go", "env", "GOVERSION"))
	if got.Version != "1.0.0" || got.Revision != head || got.GoVersion != toolchain || got.Platform != "linux/amd64" || got.Modified != modified {
		t.Errorf("%+v of %s with %s", got, head, toolchain)
	}
}
