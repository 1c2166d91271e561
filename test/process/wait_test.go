package process

import "testing"

// TestFreeAddress: nobody is given what somebody else was, though nobody listens there yet.
func TestFreeAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 { // of 12,000: one would very likely come twice
		address, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s is given twice", address)
		}
		seen[address] = true
	}
}
