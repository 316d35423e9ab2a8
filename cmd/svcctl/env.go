package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/envvars"
	"github.com/svcctl/svcctl/render"
)

const envHelp = `Print the environment variables by which a kubelet tells the containers of a namespace of its
services: those of -f, or, without it, those that are recorded as applied.

Services without a ClusterIP, as headless and ExternalName ones, have none. The service "kubernetes"
of the namespace default is told of everywhere. Where two services define one variable, the one whose
name comes later has it, and a warning names both; in a cluster either may have it.

  dotenv    NAME=value, without any quotes: for docker run --env-file, Compose and dotenv libraries
  export    export NAME='value', for a shell: eval "$(svcctl env -o export)"
  json      one object
  systemd   NAME="value", for EnvironmentFile= of a unit

A service whose name begins with a digit has no variables that a shell or systemd would take: export
and systemd leave them out, with a warning.`

const envExamples = `  svcctl env -n demo
  svcctl env -n demo -f services/ -o systemd > /etc/default/demo-services
  docker run --env-file <(svcctl env -n demo) app`

type envOptions struct {
	scope
	output       string
	serviceLinks bool
}

func newEnvCommand(c *cli) *cobra.Command {
	o := &envOptions{}
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print the environment variables that tell of services",
		Long:    envHelp,
		Example: envExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.printEnv(ctx, o) }),
	}
	o.input.quiet = true
	o.input.addTo(cmd)
	o.addNamespaceTo(c, cmd, "namespace of the containers")
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "dotenv", "output format: "+strings.Join(render.EnvFormats, ", "))
	flags.BoolVar(&o.serviceLinks, "enable-service-links", true,
		"a Pod's enableServiceLinks: false leaves nothing but \"kubernetes\" of the namespace "+metav1.NamespaceDefault)
	completeFlag(cmd, "output", render.EnvFormats...)
	return cmd
}

func (c *cli) printEnv(ctx context.Context, o *envOptions) error {
	if err := checkFormat(o.output, render.EnvFormats...); err != nil {
		return err
	}
	in, err := c.look(ctx, &o.scope)
	if err != nil {
		return err
	}
	variables, collisions := envvars.Of(in.model.Services,
		envvars.Options{Namespace: o.namespace, ServiceLinks: o.serviceLinks})
	for _, col := range collisions {
		c.notef("warning: %s is defined by %s and by %s, and has the value of %s",
			col.Name, col.Loser, col.Winner, col.Winner)
	}
	left, err := render.Env(c.out, o.output, variables)
	for _, v := range left {
		c.notef("warning: %s of %s is left out: a name that begins with a digit is none in the format %s",
			v.Name, v.Service, o.output)
	}
	return err
}
