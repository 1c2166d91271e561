package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/node"
)

// pod is a pod that runs a command of the shell, with the claim mounted at /home.
func pod(name, claim, command string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %q, labels: {app: %[1]q}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: %s
    command: [sh, -c, %q]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: home, mountPath: /home}]
  volumes:
  - name: home
    persistentVolumeClaim: {claimName: %q}
---
`, name, node.BusyboxImage, command, claim)
}

func claim(name, class, mode string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %q}
spec: {%s accessModes: [%s], resources: {requests: {storage: 1Gi}}}
---
`, name, class, mode)
}

const (
	succeeded = "jsonpath={.status.phase}=Succeeded"
	ready     = "condition=Ready"
)

// TestNode is the life of one cluster: its parts build on each other.
func TestNode(t *testing.T) {
	before := outside(t)
	dir := filepath.Join(t.TempDir(), "cluster")
	c := start(t, dir)
	t.Run("a claim of the default class gets a volume, and keeps what is written", c.keepsFiles)
	t.Run("a claim that waits for its first pod gets one then", c.waitsForItsPod)
	t.Run("pods share a volume", c.shares)
	t.Run("a deleted claim takes its folder along", c.deletes)
	t.Run("exec", c.executes)
	t.Run("a Service answers machine, node and pods", c.serves)
	t.Run("pods reach the API server", c.reachesAPI)
	t.Run("images are loaded from archives", c.loads)
	t.Run("port-forward", c.forwards)
	if t.Failed() {
		return
	}
	c.stop(t)
	wantNothingLeft(t, dir, c.number(t), true)

	again := start(t, dir)
	t.Run("a cluster that is started again goes on", again.goesOn)
	if err := again.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = again.cmd.Wait() // it was killed
	wantNothingLeft(t, dir, again.number(t), false)

	// The next start, wherever its state is, removes what a kill leaves.
	other := start(t, filepath.Join(t.TempDir(), "other"))
	other.stop(t)
	wantNothingLeft(t, dir, again.number(t), true)
	if after := outside(t); after != before {
		t.Errorf("the machine is not as it was\nbefore:\n%s\nafter:\n%s", before, after)
	}
}

func TestAnInterruptedStartLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	cmd := exec.Command(program, "run", "--node", "--dir", dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second) // amid its start
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &said)
	}
	number, err := os.ReadFile(filepath.Join(dir, "node", "number"))
	if err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, dir, strings.TrimSpace(string(number)), true)
}

func TestAProgramThatDiesIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	c := start(t, dir)
	kill := exec.CommandContext(t.Context(), program, "exec", "--dir", dir, "sh", "-c", "kill -9 $(pidof containerd)")
	if output, err := kill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := c.cmd.Wait(); err == nil {
		t.Error("exit code 0")
	}
	if said := c.stderr.String(); !strings.Contains(said, "containerd ended by itself: signal: killed") {
		t.Errorf("it said %q", said)
	}
	wantNothingLeft(t, dir, c.number(t), true)
}

func (c *cluster) keepsFiles(t *testing.T) {
	c.apply(t, claim("home", "", "ReadWriteOnce")+pod("first", "home", "echo kept > /home/file; echo written"))
	c.wait(t, "pod/first", succeeded)
	if got := c.kubectl(t, "logs", "first"); got != "written" {
		t.Errorf("logs: %q", got)
	}
	c.kubectl(t, "delete", "pod", "first")
	c.apply(t, pod("second", "home", "cat /home/file"))
	c.wait(t, "pod/second", succeeded)
	if got := c.kubectl(t, "logs", "second"); got != "kept" {
		t.Errorf("the second pod reads %q", got)
	}
}

func (c *cluster) waitsForItsPod(t *testing.T) {
	c.apply(t, claim("later", "storageClassName: on-first-use,", "ReadWriteOnce"))
	time.Sleep(time.Second)
	if got := c.kubectl(t, "get", "pvc", "later", "-o", "jsonpath={.status.phase}"); got != "Pending" {
		t.Errorf("without a pod the claim is %s", got)
	}
	c.apply(t, pod("user", "later", "touch /home/file"))
	c.wait(t, "pod/user", succeeded)
}

func (c *cluster) shares(t *testing.T) {
	c.apply(t, claim("shared", "", "ReadWriteMany")+
		pod("writer", "shared", "echo hello > /home/file; sleep 600")+
		pod("reader", "shared", "until cat /home/file; do sleep 0.1; done; sleep 600"))
	c.wait(t, "pod/writer", ready)
	c.wait(t, "pod/reader", ready)
	for deadline := time.Now().Add(10 * time.Second); !strings.HasSuffix(c.kubectl(t, "logs", "reader"), "hello"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the reader does not see what the writer writes")
		}
	}
	c.kubectl(t, "delete", "pod", "writer", "reader")
}

func (c *cluster) deletes(t *testing.T) {
	volume := c.kubectl(t, "get", "pvc", "shared", "-o", "jsonpath={.spec.volumeName}")
	folder := filepath.Join(c.dir, "node", "volumes", volume)
	if _, err := os.Stat(filepath.Join(folder, "file")); err != nil {
		t.Error(err)
	}
	c.kubectl(t, "delete", "pvc", "shared")
	c.wait(t, "pv/"+volume, "delete")
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder: %v, want none", err)
	}
}

func (c *cluster) executes(t *testing.T) {
	c.apply(t, pod("server", "home", "mkdir /tmp/www; echo it works > /tmp/www/index.html; httpd -f -p 8000 -h /tmp/www"))
	c.wait(t, "pod/server", ready)
	if got, err := c.try(t, "by stdin", "exec", "-i", "server", "--", "sh", "-c", "id -u; cat; exit 3"); err == nil || !strings.HasPrefix(got, "1000\nby stdin") {
		t.Errorf("exec: %q, %v", got, err)
	}
}

func (c *cluster) serves(t *testing.T) {
	c.kubectl(t, "expose", "pod", "server", "--port=80", "--target-port=8000")
	url := "http://" + c.kubectl(t, "get", "service", "server", "-o", "jsonpath={.spec.clusterIP}") + "/"
	c.answers(t, url)
	// As the API server calls a webhook: from the node itself.
	if got, err := exec.CommandContext(t.Context(), program, "exec", "--dir", c.dir, "busybox", "wget", "-qO-", url).CombinedOutput(); err != nil || string(got) != "it works\n" {
		t.Errorf("from the node: %q, %v", got, err)
	}
	c.apply(t, pod("client", "home", "wget -qO- "+url))
	c.wait(t, "pod/client", succeeded)
	if got := c.kubectl(t, "logs", "client"); got != "it works" {
		t.Errorf("from another pod: %q", got)
	}
	if got := c.kubectl(t, "exec", "server", "--", "wget", "-qO-", url); got != "it works" {
		t.Errorf("from the pod itself: %q", got)
	}
}

// answers holds that the server does, soon, from this machine.
func (c *cluster) answers(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		response, err := client.Get(url)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			response.Body.Close()
			if string(body) == "it works\n" {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", url, err)
		}
	}
}

func (c *cluster) reachesAPI(t *testing.T) {
	// It speaks TLS, and says so to whoever does not.
	script := `printf 'GET / HTTP/1.0\r\n\r\n' | nc $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT`
	if got := c.kubectl(t, "exec", "server", "--", "sh", "-c", script); !strings.Contains(got, "HTTP request to an HTTPS server") {
		t.Errorf("got %q", got)
	}
}

func (c *cluster) loads(t *testing.T) {
	archive, err := exec.CommandContext(t.Context(), program, "pack", "--reference=example.test/greeter:2", "--user=1000", "/bin/echo=/bin/busybox").Output()
	if err != nil {
		t.Fatal(err)
	}
	load := exec.CommandContext(t.Context(), program, "load", "--dir", c.dir)
	load.Stdin = bytes.NewReader(archive)
	if output, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c.kubectl(t, "run", "greeter", "--image=example.test/greeter:2", "--restart=Never", "--", "hello from an archive")
	c.wait(t, "pod/greeter", succeeded)
	if got := c.kubectl(t, "logs", "greeter"); got != "hello from an archive" {
		t.Errorf("it says %q", got)
	}
}

func (c *cluster) goesOn(t *testing.T) {
	c.apply(t, pod("third", "home", "cat /home/file"))
	c.wait(t, "pod/third", succeeded)
	if got := c.kubectl(t, "logs", "third"); got != "kept" {
		t.Errorf("the third pod reads %q", got)
	}
	// Pods that are done are not run again; what is to run for ever is.
	c.apply(t, pod("server2", "home", "httpd -f -p 8000 -h /home"))
	c.wait(t, "pod/server2", ready)
}

func (c *cluster) forwards(t *testing.T) {
	forward := exec.CommandContext(t.Context(), filepath.Join(c.dir, "bin", "kubectl"), "port-forward", "pod/server", ":8000")
	forward.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.dir, "kubeconfig"), "HOME="+c.dir, "KUBERC=off")
	output, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = forward.Process.Kill() // it never ends by itself
		_ = forward.Wait()
	}()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	// Forwarding from 127.0.0.1:PORT -> 8000
	_, address, _ := strings.Cut(line, "from ")
	address, _, _ = strings.Cut(address, " ")
	c.answers(t, "http://"+address+"/")
}
