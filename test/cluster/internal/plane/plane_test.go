package plane

import (
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
