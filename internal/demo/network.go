package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// The addresses that the examples are written for.
var (
	clusterIP = netip.MustParseAddrPort("10.111.193.186:80")
	nodePort  = netip.AddrPortFrom(netlab.NodeAddr4, 30000)
	gateway   = netip.MustParseAddr("10.1.0.1")
	nginxPods = addrs("10.1.0.29", "10.1.0.30", "10.1.0.31")
	appPods   = addrs("10.1.0.40", "10.1.0.41")
)

// network is a node, a client outside of it, and the pods of the examples, each of which serves HTTP on port 80.
type network struct {
	*netlab.Lab
	http http.Client
}

func newNetwork(ctx context.Context) (*network, error) {
	lab, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return nil, err
	}
	n := &network{Lab: lab}
	n.http.Transport = &http.Transport{
		DialContext:       lab.Client.DialContext,
		DisableKeepAlives: true, // an endpoint is chosen per connection
	}
	n.http.Timeout = netlab.DefaultPatience
	for _, pods := range [][]netip.Addr{nginxPods, appPods} {
		for _, addr := range pods {
			if err := n.addPod(ctx, addr); err != nil {
				lab.Close()
				return nil, err
			}
		}
	}
	return n, nil
}

// addPod attaches a pod whose answer to every request is its address.
func (n *network) addPod(ctx context.Context, addr netip.Addr) error {
	pod, err := n.Attach(ctx, netlab.Host{
		Name:     fmt.Sprintf("pod-%d", addr.As4()[3]),
		Addrs:    []netip.Addr{addr},
		Gateways: []netip.Addr{gateway},
	})
	if err != nil {
		return err
	}
	listener, err := pod.Listen(ctx, netip.AddrPortFrom(addr, 80))
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: netlab.DefaultPatience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, addr.String()) // a lost answer is the client's to see
		}),
	}
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, net.ErrClosed) {
			panic(fmt.Sprintf("demo: serving HTTP on %s: %v", addr, err))
		}
	}()
	return nil
}

// get makes one request from the client and gives the pod that answered.
func (n *network) get(ctx context.Context, to netip.AddrPort) (pod netip.Addr, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to.String()+"/", nil)
	if err != nil {
		return pod, err
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return pod, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return pod, err
	}
	return netip.ParseAddr(string(body))
}

// unreachable reports whether nobody answers at an address.
func (n *network) unreachable(ctx context.Context, to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := n.get(ctx, to)
	return err != nil
}

func addrs(s ...string) []netip.Addr {
	out := make([]netip.Addr, len(s))
	for i := range s {
		out[i] = netip.MustParseAddr(s[i])
	}
	return out
}
