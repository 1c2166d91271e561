package main

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// TestNoThrottling: a client that limits its own rate does not get as far as serving.
func TestNoThrottling(t *testing.T) {
	for qps, refused := range map[float32]bool{-1: false, 0: true, 5: true} {
		_, _, err := newClients(&rest.Config{Host: "127.0.0.1:1", QPS: qps}, http.DefaultClient, provision.OwnerKinds{}.Mapper())
		if got := err != nil && strings.Contains(err.Error(), "limits its own rate"); got != refused {
			t.Errorf("at %v queries a second: %v", qps, err)
		}
	}
}
