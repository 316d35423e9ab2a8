package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/svcctl/svcctl/nft"
)

// requests is how many are sent to show a spread. With two pods one gets less than half of its share with a probability
// of 1e-18, with three less than 1e-12.
const requests = 300

// show is the whole demonstration. The error is everything that was not as claimed.
func show(ctx context.Context, w io.Writer, binary, examples string) error {
	svcctl, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "svcctl-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	n, err := newNetwork(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	s := &screen{w: w, svcctl: svcctl}
	if err := s.configure(dir, n.Node.Path()); err != nil {
		return err
	}

	s.printf("Services on plain Linux, no Kubernetes. Each of these is in a network namespace of its own, so every")
	s.printf("svcctl below has --netns, --state-dir and --config too:")
	s.printf("  client 192.168.0.2 -- node 192.168.0.1 -- pods 10.1.0.29 .30 .31 (nginx)  10.1.0.40 .41 (my-app)")
	steps := []func(context.Context, *network, string) error{s.three, s.two, s.nothing}
	for _, step := range steps {
		if err := step(ctx, n, examples); err != nil {
			return errors.Join(append(s.faults, err)...)
		}
	}
	return errors.Join(s.faults...)
}

// three applies the examples with three pods and shows requests spread over them.
func (s *screen) three(ctx context.Context, n *network, examples string) error {
	files := []string{"-f", filepath.Join(examples, "nginx"), "-f", filepath.Join(examples, "nodeport")}
	if err := s.run(ctx, shown{}, append([]string{"apply"}, files...)...); err != nil {
		return err
	}
	if err := s.run(ctx, shown{}, "get", "services", "-n", "demo"); err != nil {
		return err
	}
	fields := shown{remark: "   # in part", prefixes: []string{"Selector:", "IP:", "Endpoints:"}}
	if err := s.run(ctx, fields, "describe", "service", "-n", "demo", "nginx-prod-svc-demo"); err != nil {
		return err
	}
	s.printf("%d requests to the ClusterIP, http://%s, and who answered:", requests, clusterIP.Addr())
	s.chart(n.send(ctx, requests, clusterIP), nginxPods, nginxPods)
	s.printf("%d requests to the NodePort, http://%s:", requests, nodePort)
	s.chart(n.send(ctx, requests, nodePort), appPods, appPods)
	return nil
}

// two scales from three pods to two while requests run.
func (s *screen) two(ctx context.Context, n *network, examples string) error {
	files := []string{"-f", filepath.Join(examples, "nginx-two-pods"), "-f", filepath.Join(examples, "nodeport")}
	differs := shown{remark: "   # exit code 1: it differs", exit: 1, lines: 6}
	if err := s.run(ctx, differs, append([]string{"diff"}, files...)...); err != nil {
		return err
	}
	during, err := n.stream(ctx, clusterIP, 2*requests, func() error {
		return s.run(ctx, shown{remark: "   # while requests run"}, append([]string{"apply"}, files...)...)
	})
	if err != nil {
		return err
	}
	s.claim(during.lost == 0, "%d of %d requests lost during the change: %w", during.lost, during.total(), during.err)
	s.printf("%d requests were made meanwhile, %d lost. %d more, with two pods of three in the Service:", during.total(),
		during.lost, requests)
	s.chart(n.send(ctx, requests, clusterIP), nginxPods, nginxPods[:2])
	return nil
}

// nothing deletes everything and looks for what is left.
func (s *screen) nothing(ctx context.Context, n *network, _ string) error {
	if err := s.run(ctx, shown{}, "delete", "--all"); err != nil {
		return err
	}
	conn, err := nft.Open(n.Node.Path())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	state, err := conn.Read(ctx, "svcctl")
	if err != nil {
		return err
	}
	left := len(state.Ruleset.Tables)
	s.claim(left == 0, "%d tables are left in the kernel", left)
	answers := "answers no more"
	if !n.unreachable(ctx, clusterIP) {
		answers = "still answers"
		s.claim(false, "%s still answers", clusterIP)
	}
	s.printf("%d tables of svcctl are left in the kernel, and http://%s %s.", left, clusterIP.Addr(), answers)
	return nil
}
