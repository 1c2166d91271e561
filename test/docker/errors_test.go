package docker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// TestErrors: what goes wrong with a container's creation is told in the words of docs/errors.md.
func TestErrors(t *testing.T) {
	c := start(t)
	const missing = `"Binds":["err-missing:/data"]`
	direct(t, "volume", "create", "err-exists")
	for name, test := range map[string]struct {
		host   string
		labels map[string]string
	}{
		"size":              {missing, hints("storage", "10 GB")},
		"size-zero":         {missing, hints("storage", "0")},
		"class":             {missing, hints("storageClass", "slow")},
		"boolean":           {missing, hints("createIfNotExists", "no")},
		"must-exist":        {missing, hints("createIfNotExists", "false")},
		"field":             {missing, hints("Storage", "1Gi")},
		"list-number":       {missing, hints("claims", `[{"claimName":"err-missing","storage":10}]`)},
		"list-broken":       {missing, hints("claims", `[`)},
		"values-differ":     {missing, hints("storageClass", "ram", "storageClassName", "standard")},
		"mode":              {`"Binds":["err-missing:/data:Z"]`, nil},
		"class-and-driver":  {`"Mounts":[{"Type":"volume","Source":"err-missing","Target":"/data","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]`, hints("storageClass", "ram")},
		"name":              {`"Binds":["x:/data"]`, nil},
		"bind-unreadable":   {`"Binds":["a:b:c:d"]`, nil},
		"target-twice":      {`"Binds":["err-a:/data","err-b:/data"]`, nil},
		"too-many":          {`"Binds":[` + manyBinds(65) + `]`, nil},
		"host-config-case":  {`"binds":["err-missing:/data"]`, nil},
		"host-config-twice": {missing + `,"Binds":[]`, nil},
		"binds-of-no-list":  {`"Binds":"err-missing:/data"`, nil},
	} {
		code, said := refusal(t, c.Socket, "/v1.41/containers/create", createBody(test.host, test.labels))
		faults.Saw(t, name, fmt.Sprintf("%d %s", code, said))
	}
	for name, body := range map[string]string{
		"body-broken":    `{"Image":`,
		"body-no-json":   "Image: busybox",
		"body-list":      `[]`,
		"binds-outside":  `{"Image":"` + image + `","Binds":["err-missing:/data"]}`,
		"body-too-large": `{"Image":"` + image + `","Env":["` + strings.Repeat("x", 4<<20) + `"]}`,
	} {
		code, said := refusal(t, c.Socket, "/v1.41/containers/create", body)
		faults.Saw(t, name, fmt.Sprintf("%d %s", code, said))
	}
	for name, test := range map[string]struct{ volume, label string }{
		"not-enforced":   {"err-unsized", domain + "storage=10Gi"},
		"unused":         {"err-used", "unused." + domain + "storage=1Gi"},
		"drift-size":     {"err-exists", domain + "storage=1Gi"},
		"drift-class":    {"err-exists", domain + "storageClass=ram"},
		"drift-deletion": {"err-exists", domain + "deleteOnSandboxTermination=true"},
		"fault-existing": {"err-exists", domain + "storage=ten"},
	} {
		_, warnings := c.create(t, "-v", test.volume+":/data", "--label", test.label, image, "sh")
		faults.Saw(t, name, warnings)
	}
	if look(t, shared.Socket, "err-missing") != nil {
		t.Error("a volume was created all the same")
	}
}

func manyBinds(n int) string {
	binds := make([]string, n)
	for i := range binds {
		binds[i] = fmt.Sprintf(`"err-many-%02d:/data/%d"`, i, i)
	}
	return strings.Join(binds, ",")
}

// TestErrorsOfTheEngineAndTheOperator: who is not the container's creator can be wrong as well.
func TestErrorsOfTheEngineAndTheOperator(t *testing.T) {
	c := start(t)
	c.reconfigure(t, "volumeAutoCreate: false\n"+config)
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":["err-off:/data"]`, nil))
	faults.Saw(t, "switched-off", fmt.Sprintf("%d %s", code, said))

	lost := startBefore(t, filepath.Join(t.TempDir(), "none.sock"), config)
	code, said = refusal(t, lost.Socket, "/containers/create", createBody(`"Binds":["err-lost:/data"]`, nil))
	faults.Saw(t, "engine-gone", fmt.Sprintf("%d %s", code, said))

	breaks := startBefore(t, breakingOff(t), config)
	code, said = refusal(t, breaks.Socket, "/containers/create", createBody(`"Binds":[]`, nil))
	faults.Saw(t, "answer-broken", fmt.Sprintf("%d %s", code, said))

	quota := startBefore(t, shared.Socket, config+"  quota:\n    driver: local\n    options: {size: \"{bytes}\"}\n")
	code, said = refusal(t, quota.Socket, "/containers/create", createBody(`"Binds":["err-quota:/data"]`, hints("storageClass", "quota", "storage", "1Mi")))
	faults.Saw(t, "engine-refuses", fmt.Sprintf("%d %s", code, said))
}

// breakingOff is the socket of an engine that ends in the middle of each answer.
func breakingOff(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "e.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "{") // less than was promised ends the connection
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

// TestErrorsOfTheConfiguration: a companion that cannot start says why.
func TestErrorsOfTheConfiguration(t *testing.T) {
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config-default-class": "defaultClass: fast\n",
		"config-field":         "clases: {}\n",
		"config-no-yaml":       "a: [",
		"config-switch":        "volumeAutoCreate: maybe\n",
		"config-no-driver":     "classes: {fast: {options: {a: b}}}\n",
	} {
		path := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		output, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "companion"), "check", path).CombinedOutput()
		if err == nil {
			t.Errorf("%s is taken: %s", name, output)
		}
		faults.Saw(t, name, strings.ReplaceAll(string(output), dir+"/", ""))
	}
}
