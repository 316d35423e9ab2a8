// Command coredns is CoreDNS with the plugins that svcctl's tests need and no others: the peer that loads the zones svcctl
// writes, and answers beside "svcctl dns serve". It is a module of its own, so that svcctl depends on nothing of it.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
)

func main() {
	dnsserver.Directives = []string{"bind", "errors", "file"}
	coremain.Run()
}
