package dockerproxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

func testConfig() *Config {
	return &Config{
		AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), DefaultClass: "standard",
		Classes: map[string]Class{
			"standard": {Driver: "local"},
			"ram":      {Driver: "local", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size={bytes}"}, Labels: map[string]string{"team": "a"}},
			"remote":   {Driver: "nfs"},
		},
	}
}

// rewritten judges a body for which the given volumes exist.
func rewritten(t *testing.T, c *Config, body string, exist ...*volume) (string, []string, *refusal) {
	t.Helper()
	b, err := readCreate([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*volume{}
	for _, v := range exist {
		found[v.Name] = v
	}
	p, refused := c.judge(b, found, "box", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	if refused != nil {
		return "", nil, refused
	}
	out, err := b.write(p.specs)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), p.warnings, nil
}

const madeLabels = `"app.kubernetes.io/managed-by":"ensure-volumes","volumes.opensandbox.io/created":"2026-01-02T03:04:05.000000006Z","volumes.opensandbox.io/created-for":"box"`

func TestRewrite(t *testing.T) {
	standard := `"Labels":{` + madeLabels + `,"volumes.opensandbox.io/storageClass":"standard"},"DriverConfig":{"Name":"local"}`
	ram := `{"Labels":{` + strings.Replace(madeLabels, `,"volumes`, `,"team":"a","volumes`, 1) + `,"volumes.opensandbox.io/storage":"1Mi","volumes.opensandbox.io/storageClass":"ram"},"DriverConfig":{"Name":"local","Options":{"device":"tmpfs","o":"size=1048576","type":"tmpfs"}}}`
	for _, row := range []struct{ rule, body, want string }{
		{"nothing of ours, byte for byte", ` {"Image" : "x", "HostConfig":{ "Binds":["/a:/b", "/c"] , "Big":1e400}}`, ""},
		{"no HostConfig", `{"Image":"x","HostConfig":null}`, ""},
		{
			"a missing volume in Binds", `{ "x" : 1e400, "HostConfig":{"Binds":["/a:/b","data:/d:ro,nocopy"],"y":[ 1 ]} }`,
			`{ "x" : 1e400, "HostConfig":{"Binds":["/a:/b"],"y":[ 1 ],"Mounts":[{"Type":"volume","Source":"data","Target":"/d","ReadOnly":true,"VolumeOptions":{"NoCopy":true,` + standard + `}}]} }`,
		},
		{
			"a missing volume in Mounts, hinted", `{"Labels":{"volumes.opensandbox.io/storageClass":"ram","data.volumes.opensandbox.io/storage":"1Mi"},"HostConfig":{"Mounts":[{"Type":"bind" ,"a":"<&"},{"Source":"data","Type":"volume","New":{"k": 1}}]}}`,
			`{"Labels":{"volumes.opensandbox.io/storageClass":"ram","data.volumes.opensandbox.io/storage":"1Mi"},"HostConfig":{"Mounts":[{"Type":"bind" ,"a":"<&"},{"Source":"data","Type":"volume","New":{"k": 1},"VolumeOptions":` + ram + `}]}}`,
		},
		{
			"the caller's driver stays, our labels win", `{"HostConfig":{"Mounts":[{"Type":"volume","Source":"data","VolumeOptions":{"DriverConfig":{"Name":"nfs"},"Subpath":"s","Labels":{"own":"1","app.kubernetes.io/managed-by":"me","volumes.opensandbox.io/delete-with-owner":"true"}}}]}}`,
			`{"HostConfig":{"Mounts":[{"Type":"volume","Source":"data","VolumeOptions":{"DriverConfig":{"Name":"nfs"},"Subpath":"s","Labels":{` + strings.Replace(madeLabels, `,"volumes`, `,"own":"1","volumes`, 1) + `}}}]}}`,
		},
		{
			"what we wrote comes back, as of an inspect",
			`{"Labels":{"volumes.opensandbox.io/storageClass":"ram","data.volumes.opensandbox.io/storage":"1Mi"},"HostConfig":{"Mounts":[{"Source":"data","Type":"volume","VolumeOptions":{"Labels":{"volumes.opensandbox.io/created":"before"},"DriverConfig":{"Name":"local","Options":{"device":"tmpfs","o":"size=1048576","type":"tmpfs"}}}}]}}`,
			`{"Labels":{"volumes.opensandbox.io/storageClass":"ram","data.volumes.opensandbox.io/storage":"1Mi"},"HostConfig":{"Mounts":[{"Source":"data","Type":"volume","VolumeOptions":` + ram + `}]}}`,
		},
		{
			"HostConfig.VolumeDriver is carried over", `{"HostConfig":{"VolumeDriver":"nfs","Binds":["data:/d"]}}`,
			`{"HostConfig":{"VolumeDriver":"nfs","Binds":[],"Mounts":[{"Type":"volume","Source":"data","Target":"/d","VolumeOptions":{"Labels":{` + madeLabels + `},"DriverConfig":{"Name":"nfs"}}}]}}`,
		},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if row.want == "" {
				row.want = row.body
			}
			got, warnings, refused := rewritten(t, testConfig(), row.body)
			if refused != nil || len(warnings) > 0 || got != row.want {
				t.Errorf("got\n%s\nwith %q, %v; want\n%s", got, warnings, refused, row.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	off := testConfig()
	off.AutoCreate = false
	label := func(key, value string) string {
		return `{"Labels":{"` + key + `":"` + value + `"},"HostConfig":{"Binds":["data:/d"]}}`
	}
	for _, row := range []struct {
		rule   string
		config *Config
		body   string
		code   int
		text   string
	}{
		{"switched off", off, `{"HostConfig":{"Binds":["data:/d"]}}`, refusedMissing, "switched off"},
		{"a faulty hint", testConfig(), label("volumes.opensandbox.io/storage", "10 GB"), 400, `Labels[volumes.opensandbox.io/storage]: invalid quantity "10 GB"; write it as "10Gi"`},
		{"a missing class", testConfig(), label("data.volumes.opensandbox.io/storageClass", "slow"), 400, `class "slow" does not exist; write one of ram, remote, standard`},
		{"must not be created", testConfig(), label("volumes.opensandbox.io/createIfNotExists", "false"), 400, "create it first"},
		{"a mode that a Mount cannot say", testConfig(), `{"HostConfig":{"Binds":["data:/d:Z"]}}`, 400, `mode "Z"`},
		{"an empty mode", testConfig(), `{"HostConfig":{"Binds":["data:/d:ro,"]}}`, 400, `mode "ro,"`},
		{"a class and a driver", testConfig(), `{"Labels":{"volumes.opensandbox.io/storageClass":"ram"},"HostConfig":{"VolumeDriver":"nfs","Binds":["data:/d"]}}`, 400, "not both"},
	} {
		if _, _, refused := rewritten(t, row.config, row.body); refused == nil || refused.code != row.code || !strings.Contains(refused.text, row.text) {
			t.Errorf("%s: got %v", row.rule, refused)
		}
	}
}

func TestExisting(t *testing.T) {
	plain := &volume{Name: "data", Driver: "local"}
	for _, row := range []struct {
		rule, body string
		exists     *volume
		moved      bool
		warning    string
	}{
		{"written as a Mount", `{"HostConfig":{"Binds":["data:/d"]}}`, plain, true, ""},
		{"another driver's", `{"HostConfig":{"Binds":["data:/d"]}}`, &volume{Name: "data", Driver: "nfs"}, true, ""},
		{"must not be created", `{"Labels":{"volumes.opensandbox.io/createIfNotExists":"false"},"HostConfig":{"Binds":["data:/d"]}}`, plain, false, ""},
		{"a mode that a Mount cannot say", `{"HostConfig":{"Binds":["data:/d:Z"]}}`, plain, false, ""},
		{"drift", `{"Labels":{"volumes.opensandbox.io/storageClass":"ram"},"HostConfig":{"Binds":["data:/d"]}}`, plain, true, `storageClass "ram" asked, it has ""`},
		{"a faulty hint", `{"Labels":{"volumes.opensandbox.io/storage":"ten"},"HostConfig":{"Binds":["data:/d"]}}`, plain, true, `faulty hint has no effect`},
	} {
		got, warnings, refused := rewritten(t, testConfig(), row.body, row.exists)
		if refused != nil || strings.Contains(got, `"DriverConfig":{"Name":"`+row.exists.Driver+`"`) != row.moved || !row.moved && got != row.body {
			t.Errorf("%s: got %s, %v", row.rule, got, refused)
		}
		if row.warning == "" && len(warnings) > 0 || row.warning != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], row.warning)) {
			t.Errorf("%s: warnings %q", row.rule, warnings)
		}
	}
}

func TestNotUnderstood(t *testing.T) {
	for _, body := range []string{
		`[]`, `"x"`, `{"HostConfig":[]}`, `{"hostConfig":{}}`, `{"Ho\u017ftConfig":{}}`, `{"HostConfig":{},"HostConfig":{}}`, `{"labels":{}}`,
		`{"Binds":["data:/d"]}`, `{"Mounts":[{}]}`, `{"VolumeDriver":"nfs"}`, `{"binds":null}`, `{"a":1,"a":2}`, `{"Labels":{"a":"1","a":"2"}}`, `{"Labels":{"a":1}}`,
		`{"HostConfig":{"binds":[]}}`, `{"HostConfig":{"Binds":"data:/d"}}`, `{"HostConfig":{"Binds":[1]}}`, `{"HostConfig":{"Binds":[":/d"]}}`,
		`{"HostConfig":{"Binds":["a:b:c:d"]}}`, `{"HostConfig":{"Mounts":{}}}`, `{"HostConfig":{"Mounts":[1]}}`,
		`{"HostConfig":{"Mounts":[{"type":"volume"}]}}`, `{"HostConfig":{"Mounts":[{"Type":"volume","Source":"a","VolumeOptions":{"driverConfig":{}}}]}}`,
		`{"HostConfig":{"Mounts":[{"Type":"volume","Source":"a","VolumeOptions":{"DriverConfig":{"name":"x"}}}]}}`,
		`{"HostConfig":{"Mounts":[{"Type":"volume","Type":"bind"}]}}`,
		`{"HostConfig":{"Tmpfs":{"/data/":""},"Binds":["data:/data"]}}`, `{"HostConfig":{"tmpfs":{},"Binds":["data:/data"]}}`,
	} {
		if _, err := readCreate([]byte(body)); err == nil {
			t.Errorf("%s is understood", body)
		}
	}
}

// TestLargest: the longest body is read in its time, whatever it is made of.
// Were that the square of its keys, this would take minutes.
func TestLargest(t *testing.T) {
	var keys, binds strings.Builder
	for i := 0; keys.Len() < 3<<20; i++ {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	for i := 0; binds.Len() < 3<<20; i++ {
		fmt.Fprintf(&binds, `"v%x:/%x",`, i, i)
	}
	for _, body := range []string{`{` + keys.String() + `"HostConfig":{}}`, `{"HostConfig":{"Binds":[` + binds.String() + `"x:/y"]}}`} {
		start := time.Now()
		b, err := readCreate([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.names()
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %s", took)
		}
	}
}
