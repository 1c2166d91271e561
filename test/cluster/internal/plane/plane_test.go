package plane

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFreeAddressesAreDistinct(t *testing.T) {
	found, err := freeAddresses(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, address := range found {
		if seen[address] || !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("%s: twice, or not on loopback", address)
		}
		seen[address] = true
	}
	if _, err := freeAddresses(1000); err == nil {
		t.Error("a thousand in 200 attempts: want an error")
	}
}

func TestStateOfAnEarlierRunIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etcd"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Plane{Dir: dir}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "earlier run") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder now holds %v", left)
	}
}

func TestContinuedStateKeepsItsKeys(t *testing.T) {
	p := Plane{Dir: t.TempDir()}
	if err := os.Mkdir(p.path("pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	authority, err := p.authority()
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := os.ReadFile(p.path("pki", "service-accounts.key"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.authority()
	if err != nil || string(again.CertPEM) != string(authority.CertPEM) {
		t.Errorf("another authority, %v", err)
	}
	if now, _ := os.ReadFile(p.path("pki", "service-accounts.key")); string(now) != string(accounts) {
		t.Error("tokens of service accounts have become invalid")
	}
	if err := os.Remove(p.path("pki", "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.authority(); err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("without its key: %v", err)
	}
}

func TestANetworkOfItsOwn(t *testing.T) {
	p := Plane{Dir: "/state", Network: Network{
		Address: netip.MustParseAddr("10.200.2.2"), Services: netip.MustParsePrefix("10.200.0.0/24"),
	}}
	at, err := p.Network.pick()
	if err != nil || at.api != "10.200.2.2:6443" {
		t.Errorf("the API server is at %q, %v", at.api, err)
	}
	args := strings.Join(p.apiServerArgs(at), " ")
	for _, want := range []string{"--advertise-address=10.200.2.2", "--secure-port=6443", "--service-cluster-ip-range=10.200.0.0/24"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q lacks %q", args, want)
		}
	}
	// Nodes would never hear of its Service.
	if strings.Contains(args, "--endpoint-reconciler-type=none") {
		t.Errorf("%q has no endpoint", args)
	}
}
