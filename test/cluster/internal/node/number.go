package node

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// number is what tells clusters on one machine apart, and all that their
// addresses and names are made of.
type number int

// Few networks use the end of 10.0.0.0/8.
const lowest, highest number = 200, 250

func (n number) address(third, last byte) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n), third, last})
}

func (n number) all() netip.Prefix      { return netip.PrefixFrom(n.address(0, 0), 16) }
func (n number) services() netip.Prefix { return netip.PrefixFrom(n.address(0, 0), 24) }
func (n number) pods() netip.Prefix     { return netip.PrefixFrom(n.address(1, 0), 24) }
func (n number) outer() netip.Addr      { return n.address(2, 1) } // the machine's end of the link
func (n number) inner() netip.Addr      { return n.address(2, 2) } // the node's
func (n number) link() string           { return fmt.Sprintf("ensurevol%d", n) }
func (n number) cgroup() string         { return fmt.Sprintf("%s%d", cgroupPrefix, n) }

// linkUp reports whether a cluster of that number has its link.
func (n number) linkUp() bool {
	_, err := net.InterfaceByName(n.link())
	return err == nil
}

// free reports whether no route of this machine leads to the number's addresses.
func (n number) free() (bool, error) {
	if n.linkUp() {
		return false, nil
	}
	routes, err := os.Open("/proc/net/route")
	if err != nil {
		return false, fmt.Errorf("reading the routes: %w", err)
	}
	defer routes.Close()
	lines := bufio.NewScanner(routes)
	for lines.Scan() {
		prefix, ok := route(lines.Text())
		// A default route leads everywhere, and nowhere near.
		if ok && prefix.Bits() > 0 && prefix.Overlaps(n.all()) {
			return false, nil
		}
	}
	return true, lines.Err()
}

// route reads a line of /proc/net/route: the second field is the destination
// and the eighth its mask, in the machine's byte order.
func route(line string) (netip.Prefix, bool) {
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return netip.Prefix{}, false
	}
	destination, err := hex.DecodeString(fields[1])
	if err != nil || len(destination) != 4 {
		return netip.Prefix{}, false // the heading
	}
	mask, err := hex.DecodeString(fields[7])
	if err != nil || len(mask) != 4 {
		return netip.Prefix{}, false
	}
	var address, bits [4]byte
	binary.NativeEndian.PutUint32(address[:], binary.BigEndian.Uint32(destination))
	binary.NativeEndian.PutUint32(bits[:], binary.BigEndian.Uint32(mask))
	ones, _ := net.IPMask(bits[:]).Size()
	return netip.PrefixFrom(netip.AddrFrom4(address), ones), true
}
