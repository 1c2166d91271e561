package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sandbox is what became of an OpenSandbox server's requests.
type sandbox struct {
	Found    []string // volumes that were there
	ID       string
	Warnings []string
	Status   int    // of the engine's refusal
	Kind     string // the exception that docker-py makes of it; "" where the server refuses by itself
	Message  string
}

// withDockerPy is a python3 that has docker-py: the system's, to which Debian's
// docker-compose brings it, or another.
func withDockerPy(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import docker").Run() == nil {
			return python
		}
	}
	t.Fatal("no python3 here has docker-py; `make engine-packages` installs it (docker-compose)")
	return ""
}

// asServer is what an OpenSandbox server asks of a companion, for a request.
func asServer(t *testing.T, c *companion, id, request string, flags ...string) *sandbox {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(repository(t), "test", "standin", "ondocker.py")
	cmd := exec.CommandContext(ctx, withDockerPy(t), append([]string{script, "create", "--json", "--id", id, "-f", file}, flags...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+c.Socket)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	said := new(sandbox)
	if err == nil {
		err = json.Unmarshal(out, said)
	}
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, errs.String())
	}
	if said.ID != "" {
		t.Cleanup(func() {
			_, _, _ = call(context.Background(), shared.Socket, http.MethodDelete, "/containers/"+said.ID+"?force=1", "")
		})
	}
	return said
}

// TestOpenSandbox: an unmodified server, through docker-py, gets volumes of the
// default class; what its caller's metadata can say counts where it can.
func TestOpenSandbox(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, strings.Replace(config, "defaultClass: standard", "defaultClass: ram", 1))
	made := 0
	serve := func(volume, pvc, metadata string, flags ...string) *sandbox {
		t.Helper()
		made++
		return asServer(t, c, fmt.Sprint("served-", made), fmt.Sprintf(`{"image":{"uri":%q},"entrypoint":["sh"],"metadata":{%s},
			"volumes":[{"name":"data","pvc":{"claimName":%q%s},"mountPath":"/data"}]}`, image, metadata, volume, pvc), flags...)
	}
	mounted := func(said *sandbox, volume string) {
		t.Helper()
		if said.ID == "" {
			t.Fatalf("no container: %+v", said)
		}
		if got := inspectContainer(t, shared.Socket, said.ID); len(got.Mounts) != 1 || got.Mounts[0]["Name"] != volume || got.Mounts[0]["RW"] != true {
			t.Errorf("mounted %v", got.Mounts)
		}
	}

	// The server's sequence. Its volume is of the default class, its own label kept.
	between.when(nil, nil)
	said := serve("sandbox", "", "")
	mounted(said, "sandbox")
	v := look(t, shared.Socket, "sandbox")
	if len(said.Found) > 0 || len(said.Warnings) > 0 || !v.ensured("ram") || v.Options["o"] != "size=1073741824" || v.Labels["opensandbox.io/volume-managed-by"] != "server" {
		t.Errorf("%+v: the volume is %+v", said, v)
	}
	if got := between.requests("POST "); len(got) != 2 || got[0] != "POST /volumes/create" || !strings.HasPrefix(got[1], "POST /containers/create") {
		t.Errorf("the engine was asked %q", got)
	}
	// The next sandbox finds it. Metadata with a hint comes too late for it, and says so.
	said = serve("sandbox", "", `"`+domain+`storage":"2Gi","`+domain+`storageClass":"standard"`)
	mounted(said, "sandbox")
	if want := `volume "sandbox" exists: storage 2Gi asked, it has 1Gi`; len(said.Found) != 1 || len(said.Warnings) != 2 || said.Warnings[0] != want {
		t.Errorf("got %+v", said)
	}
	// Without the server's own create the hints decide.
	said = serve("sandbox-hinted", "", `"`+domain+`storage":"2Mi","sandbox-hinted.`+domain+`accessModes":"RWO_RWX"`, "--leave-volumes")
	mounted(said, "sandbox-hinted")
	if v := look(t, shared.Socket, "sandbox-hinted"); !v.ensured("ram") || v.Options["o"] != "size=2097152" || len(said.Warnings) > 0 {
		t.Errorf("%+v: the volume is %+v", said, v)
	}
	// Refusals are docker-py's errors, with the fix for the server to pass on.
	said = serve("sandbox-refused", "", `"`+domain+`storage":"10GB"`, "--leave-volumes")
	if want := "Labels[" + domain + `storage]: invalid quantity "10GB"; write it as "10Gi"`; said.Status != 400 || said.Kind != "APIError" || said.Message != want {
		t.Errorf("got %+v", said)
	}
	if said = serve("sandbox-refused", `,"createIfNotExists":false`, ""); said.ID != "" || !strings.HasPrefix(said.Message, "400: ") {
		t.Errorf("got %+v", said)
	}
	c.reconfigure(t, "volumeAutoCreate: false\n"+config)
	said = serve("sandbox-refused", "", "", "--leave-volumes")
	if said.Status != 404 || said.Kind != "NotFound" || !strings.Contains(said.Message, "switched off") {
		t.Errorf("got %+v", said)
	}
	if v := look(t, shared.Socket, "sandbox-refused"); v != nil {
		t.Errorf("the refused volume is %+v", v)
	}
}
