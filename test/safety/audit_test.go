package safety

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// collector is Kubernetes' garbage collector.
const collector = "system:serviceaccount:kube-system:generic-garbage-collector"

// request is what the API server's audit log says of one answered request.
type request struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Received       time.Time       `json:"requestReceivedTimestamp"`
	RequestObject  json.RawMessage `json:"requestObject"`
	ResponseObject struct {
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
		Details struct {
			UID types.UID `json:"uid"`
		} `json:"details"`
	} `json:"responseObject"`
}

// uid is the object's that was changed or deleted, where the log has the bodies.
func (r *request) uid() types.UID {
	if uid := r.ResponseObject.Metadata.UID; uid != "" {
		return uid
	}
	if uid := r.ResponseObject.Details.UID; uid != "" { // of an object that went at once the answer is a Status
		return uid
	}
	// Whoever asked did not wait for the answer; what it asked for was bound to a UID.
	var options struct {
		Preconditions struct {
			UID types.UID `json:"uid"`
		} `json:"preconditions"`
	}
	if json.Unmarshal(r.RequestObject, &options) == nil {
		return options.Preconditions.UID
	}
	var patch []struct {
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	_ = json.Unmarshal(r.RequestObject, &patch) // what is neither has no UID
	for _, o := range patch {
		if o.Path == "/metadata/uid" {
			return types.UID(strings.Trim(string(o.Value), `"`))
		}
	}
	return ""
}

func (r *request) String() string {
	resource := r.ObjectRef.Resource
	if r.ObjectRef.Subresource != "" {
		resource += "/" + r.ObjectRef.Subresource
	}
	return fmt.Sprintf("%s: %s %s %s/%s (uid %q, %s)", r.Received.Format(time.TimeOnly), r.Verb, resource, r.ObjectRef.Namespace, r.ObjectRef.Name, r.uid(), r.User.Username)
}

// writes reports whether something was written, or may have been: where a replica
// is killed, what it has asked for is answered with a 504 and may be done.
func (r *request) writes() bool {
	switch r.Verb {
	case "get", "list", "watch":
		return false
	}
	return (r.ResponseStatus.Code < 300 || r.ResponseStatus.Code >= 500) && !strings.Contains(r.RequestURI, "dryRun=")
}

// audit reads the audit log as it grows, through its rotations. For use by
// several goroutines at once.
type audit struct {
	path string

	mu     sync.Mutex
	file   *os.File
	reader *bufio.Reader
	half   string
	// ours are all writes of our account, collected the garbage collector's deletions of claims.
	ours, collected []*request
	// pods is when somebody began to delete a pod.
	pods map[name]time.Time
	err  error
}

func newAudit(path string) *audit { return &audit{path: path, pods: map[name]time.Time{}} }

// read takes in what was added. The API server writes each line before it answers.
func (a *audit) read() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if a.file == nil {
			file, err := os.Open(a.path)
			if err != nil {
				a.err = err
				return
			}
			a.file, a.reader = file, bufio.NewReaderSize(file, 1<<20)
		}
		now, err := os.Stat(a.path) // before the rest is read: nothing is added to a file after it was rotated
		for {
			line, end := a.reader.ReadString('\n')
			a.half += line
			if end != nil {
				a.err = errors.Join(a.err, ignoreEOF(end))
				break
			}
			a.line(a.half)
			a.half = ""
		}
		read, rerr := a.file.Stat()
		if err != nil || rerr != nil || os.SameFile(now, read) {
			return
		}
		a.file.Close()
		a.file = nil
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (a *audit) line(text string) {
	r := &request{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		a.err = errors.Join(a.err, fmt.Errorf("reading the audit log: %w", err))
		return
	}
	switch {
	case !r.writes():
	case r.User.Username == account:
		a.ours = append(a.ours, r)
	case r.User.Username == collector && r.ObjectRef.Resource == "persistentvolumeclaims" && strings.HasPrefix(r.Verb, "delete"):
		a.collected = append(a.collected, r)
	case r.ObjectRef.Resource == "pods" && r.ObjectRef.Subresource == "" && r.Verb == "delete":
		key := name{Namespace: r.ObjectRef.Namespace, Name: r.ObjectRef.Name}
		if _, known := a.pods[key]; !known {
			a.pods[key] = r.Received
		}
	}
}
