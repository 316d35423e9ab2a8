package main

import (
	"context"
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What a package is built with (deploy/packages/build), and the linker sets. Go records less in a work tree of Git, and in a
// clone without tags something else than in one with them; packages are to be the same bytes wherever they are built.
var (
	packageVersion  string
	packageRevision string
	packageModified string // "true", or nothing
)

// versionInfo is what the build recorded. There is no time in it: the same source gives the same bytes.
type versionInfo struct {
	Version   string `json:"version"`            // of the package, or of the module; "(devel)" for a build from a work tree
	Revision  string `json:"revision,omitempty"` // of the work tree
	Modified  bool   `json:"modified"`           // the work tree had changes that are not in the revision
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func newVersionCommand(c *cli) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  svcctl version -o json",
		Args:    noArguments,
		RunE: c.runUnconfigured(func(context.Context, []string) error {
			if err := checkFormat(output, "text", "json"); err != nil {
				return err
			}
			return c.printVersion(readVersion(), output)
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output format: text or json")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

func readVersion() versionInfo {
	v := versionInfo{
		Version: "(devel)", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if packageVersion != "" {
		v.Version, v.Revision, v.Modified = packageVersion, packageRevision, packageModified == "true"
		return v
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (c *cli) printVersion(v versionInfo, output string) error {
	if output == "json" {
		text, err := json.MarshalIndent(v, "", "    ")
		if err != nil {
			return err
		}
		c.printf("%s\n", text)
		return nil
	}
	c.printf("svcctl %s", v.Version)
	if v.Revision != "" {
		c.printf(" %s", v.Revision)
		if v.Modified {
			c.printf(" (modified)")
		}
	}
	c.printf(" %s %s\n", v.GoVersion, v.Platform)
	return nil
}
