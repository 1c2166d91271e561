package main

import "testing"

func TestShare(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 64: 32} {
		if got := share(processors); got != want {
			t.Errorf("of %d processors the companion works on %d, want %d", processors, got, want)
		}
	}
}
