package nft

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Conn is a connection to the nftables of one network namespace. It is safe for concurrent use; requests are made one
// after the other.
type Conn struct {
	mu     sync.Mutex
	sock   *socket
	route  *socket // to rtnetlink: which addresses are the node's own
	kernel kernel
}

// Open opens a connection to a network namespace: "" is the current one of the calling thread, a name is one of
// "ip netns", and anything with a slash is a path, like /proc/PID/ns/net. Only the socket is made in that namespace: the
// process stays where it is, and the connection stays with the namespace whatever the process does later.
//
// The error is or wraps [ErrPermission] where entering the namespace is not allowed.
func Open(netns string) (*Conn, error) {
	k, err := kernelHere()
	if err != nil {
		return nil, err
	}
	c := &Conn{kernel: k}
	open := func() (err error) {
		if c.sock, err = openSocket(unix.NETLINK_NETFILTER); err != nil {
			return err
		}
		if c.route, err = openRouteSocket(); err != nil {
			return errors.Join(err, c.sock.close())
		}
		return nil
	}
	if netns == "" {
		if err := open(); err != nil {
			return nil, err
		}
		return c, nil
	}
	if err := inNetns(netnsPath(netns), open); err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.sock.close(), c.route.close())
}

// Generation gives the number of the namespace's current ruleset. Every transaction of any program makes a new one.
func (c *Conn) Generation(ctx context.Context) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation(ctx)
}

func (c *Conn) generation(ctx context.Context) (uint32, error) {
	var gen uint32
	a, err := c.sock.request(ctx, unix.NFT_MSG_GETGEN, 0, unix.NFPROTO_UNSPEC, nil, func(_ uint8, b []byte) {
		gen = u32(firstAttr(b, unix.NFTA_GEN_ID))
	})
	if err == nil {
		err = a.err()
	}
	if err != nil {
		return 0, fmt.Errorf("reading the nftables generation: %w", err)
	}
	return gen, nil
}
