package plane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
)

// Network is where a control plane is reached and what it hands out. The zero
// value is free ports of 127.0.0.1, of use to this machine only.
type Network struct {
	// Address is where nodes and pods reach the API server. The programs then
	// have the ports that they have everywhere: the network namespace is theirs.
	Address netip.Addr
	// Services are the addresses for ClusterIPs.
	Services netip.Prefix
}

// services are the addresses for ClusterIPs; the first is the API server's.
func (n Network) services() netip.Prefix {
	if n.Services.IsValid() {
		return n.Services.Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 43, 0, 0}), 24)
}

// addresses are where the programs listen, on 127.0.0.1 but for the API server.
type addresses struct {
	etcd        string // clients of etcd
	etcdPeer    string
	api         string
	controllers string
}

func (n Network) pick() (addresses, error) {
	if n.Address.IsValid() {
		return addresses{
			etcd:        "127.0.0.1:2379",
			etcdPeer:    "127.0.0.1:2380",
			api:         netip.AddrPortFrom(n.Address, 6443).String(),
			controllers: "127.0.0.1:10257",
		}, nil
	}
	free, err := freeAddresses(4)
	if err != nil {
		return addresses{}, err
	}
	return addresses{etcd: free[0], etcdPeer: free[1], api: free[2], controllers: free[3]}, nil
}

// freeAddresses finds addresses that nobody listens on, below the range that
// the kernel takes ports of outgoing connections from: those come and go
// between our look and the program's.
func freeAddresses(count int) ([]string, error) {
	const lowest, highest, attempts = 20000, 32000, 200
	var result []string
	for range attempts {
		port := lowest + rand.IntN(highest-lowest)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		// Kept open until all are found, so that no port is found twice.
		defer listener.Close()
		result = append(result, listener.Addr().String())
		if len(result) == count {
			return result, nil
		}
	}
	return nil, fmt.Errorf("finding free ports on 127.0.0.1 between %d and %d: %w", lowest, highest, errors.New("too many are taken"))
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // made by freeAddresses: cannot fail
	return port
}
