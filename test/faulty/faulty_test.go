package faulty

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const answer = "a long answer of the server, " // ten times

// through is a proxy in front of a server that answers, and streams where it is asked for a watch.
func through(t *testing.T) (*Proxy, *http.Client) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("the credentials became %q", r.Header.Get("Authorization"))
		}
		if r.URL.Path == "/watch" {
			_, _ = io.WriteString(w, "first event\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, strings.Repeat(answer, 10))
	}))
	t.Cleanup(upstream.Close)
	p, err := Start(&rest.Config{Host: upstream.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)

	dir := t.TempDir()
	config := clientcmdapi.NewConfig()
	config.CurrentContext = "c"
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: upstream.URL}
	config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: "secret"}
	direct, led := filepath.Join(dir, "direct"), filepath.Join(dir, "led")
	if err := clientcmd.WriteToFile(*config, direct); err != nil {
		t.Fatal(err)
	}
	if err := p.Kubeconfig(led, direct); err != nil {
		t.Fatal(err)
	}
	loaded, err := clientcmd.BuildConfigFromFlags("", led)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(loaded)
	if err != nil {
		t.Fatal(err)
	}
	return p, client
}

// call is one call's outcome: the status, how much came, and how it ended.
func call(ctx context.Context, p *Proxy, client *http.Client) (code, length int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server.URL+"/object", nil)
	if err != nil {
		return 0, 0, err
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		err = fmt.Errorf("it speaks %s", response.Proto)
	}
	body, readErr := io.ReadAll(response.Body)
	return response.StatusCode, len(body), errors.Join(err, readErr)
}

func TestFaults(t *testing.T) {
	p, client := through(t)
	whole := 10 * len(answer)
	for _, fault := range Faults() {
		t.Run(string(fault), func(t *testing.T) {
			p.Set(fault, 100)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if fault == Hang {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
			}
			began := time.Now()
			code, length, err := call(ctx, p, client)
			switch fault {
			case TooManyRequests:
				if code != 429 || err != nil {
					t.Errorf("%d, %v", code, err)
				}
			case InternalError:
				if code != 500 || err != nil {
					t.Errorf("%d, %v", code, err)
				}
			case Slow:
				if took := time.Since(began); code != 200 || length != whole || err != nil || took < slowness {
					t.Errorf("%d, %d bytes after %s, %v", code, length, took, err)
				}
			case Hang:
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d, %v", code, err)
				}
			case Reset:
				if err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d, %v", code, err)
				}
			case Truncated:
				if err == nil || errors.Is(err, context.DeadlineExceeded) || length >= whole {
					t.Errorf("%d, %d bytes, %v", code, length, err)
				}
			}
			p.Clear()
			if code, length, err := call(t.Context(), p, client); code != 200 || length != whole || err != nil {
				t.Errorf("after the fault: %d, %d bytes, %v", code, length, err)
			}
		})
	}
}

func TestTheShareIsKept(t *testing.T) {
	p, client := through(t)
	for _, percent := range []int{0, 10, 50, 100} {
		p.Set(InternalError, percent)
		failed := 0
		for range 20 {
			code, _, err := call(t.Context(), p, client)
			if err != nil {
				t.Fatal(err)
			}
			if code == 500 {
				failed++
			}
		}
		spoiled, calls := p.Spoiled()
		if failed != 20*percent/100 || spoiled != failed || calls != 20 {
			t.Errorf("%d %%: %d of 20 failed, by its own count %d of %d", percent, failed, spoiled, calls)
		}
	}
}

// What is in progress ends where the fault changes, a watch and a call that hangs alike.
func TestSetCutsWhatIsInProgress(t *testing.T) {
	p, client := through(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, len("first event\n"))); err != nil {
		t.Fatal(err)
	}
	p.Set(Hang, 100)
	if _, err := response.Body.Read(make([]byte, 1)); err == nil {
		t.Error("the watch goes on")
	}
	hung := make(chan error, 1)
	go func() {
		_, _, err := call(context.WithoutCancel(t.Context()), p, client)
		hung <- err
	}()
	for spoiled := 0; spoiled == 0; spoiled, _ = p.Spoiled() {
		time.Sleep(time.Millisecond)
	}
	p.Clear()
	if err := <-hung; err == nil {
		t.Error("the call that hung was answered")
	}
}

// The proxy shows its certificate to whoever trusts it alone.
func TestTheCertificateIsItsOwn(t *testing.T) {
	p, _ := through(t)
	_, _, err := call(t.Context(), p, &http.Client{Transport: &http.Transport{}})
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); !is {
		t.Errorf("got %v", err)
	}
}
