package mutate

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// reviewVersion is the only version of AdmissionReview that is spoken here.
const reviewVersion = "admission.k8s.io/v1"

// request is what is read of an AdmissionReview.
type request struct {
	UID         types.UID
	Resource    metav1.GroupVersionResource
	SubResource string
	Operation   string
	Namespace   string
	User        string
	DryRun      bool
	Object      *pod
}

const (
	// maxKept is how many bytes are kept of a review: all hints that are read, as often
	// again, and all names that a pod may have.
	maxKept = 4 * claim.MaxHints
	// mostClaims are kept: of those that are too many, more than can be told one by one.
	mostClaims = 4 * claim.MaxClaims
	// longestName is how much is kept of a claim's name. None that is longer is good.
	longestName = 512
	// longestValue is how much is kept of the value of a label that is no hint. None
	// that is longer is good.
	longestValue = validation.LabelValueMaxLength + 1
)

// pod is what is read of a pod.
type pod struct {
	Name         string
	GenerateName string
	Namespace    string
	// Annotations and Labels are those that decisions need. Annotations are nil only
	// where the pod has no such member.
	Annotations map[string]string
	Labels      map[string]string
	// Annotated is how long all annotations are, keys and values, in bytes.
	Annotated int
	// Controller is the first of its ownerReferences that says so of itself.
	Controller *metav1.OwnerReference
	// Claims are the claims that its volumes name, each once; where there are very many,
	// the first of them, and More is the number of the others.
	Claims []provision.Use
	More   int
}

// decode reads a review. Its errors are for whoever sent it: an API server that
// is configured wrongly, or somebody who is none. The request does not refer to body.
func decode(body []byte) (*request, error) {
	var apiVersion, kind string
	var q *request
	s := jsonscan.New(body)
	s.MaxKept = maxKept
	for key := range s.Members() {
		switch string(key) {
		case "apiVersion":
			s.String(&apiVersion)
		case "kind":
			s.String(&kind)
		case "request":
			q = readRequest(s)
		}
	}
	if err := s.End(); err != nil {
		return nil, fmt.Errorf("the body is no AdmissionReview: %w", err)
	}
	switch {
	case apiVersion != reviewVersion || kind != "AdmissionReview":
		return nil, fmt.Errorf("the body is %q of %q; send an AdmissionReview of %s", kind, apiVersion, reviewVersion)
	case q == nil:
		return nil, errors.New("the AdmissionReview has no request")
	case q.UID == "":
		return nil, errors.New("the AdmissionReview's request has no uid")
	case q.Resource != metav1.GroupVersionResource{Version: "v1", Resource: "pods"} || q.SubResource != "" || q.Operation != "CREATE":
		return nil, fmt.Errorf("the request is %q of %q; only CREATE of v1 pods is answered here", q.Operation, q.Resource.Resource)
	case q.Namespace == "":
		return nil, errors.New("the request has no namespace")
	case q.Object == nil:
		return nil, errors.New("the request has no object")
	}
	return q, nil
}

// readRequest is nil for null.
func readRequest(s *jsonscan.Scanner) *request {
	if s.Null() {
		return nil
	}
	q := &request{}
	for key := range s.Members() {
		switch string(key) {
		case "uid":
			s.String((*string)(&q.UID))
		case "resource":
			for key := range s.Members() {
				switch string(key) {
				case "group":
					s.String(&q.Resource.Group)
				case "version":
					s.String(&q.Resource.Version)
				case "resource":
					s.String(&q.Resource.Resource)
				}
			}
		case "subResource":
			s.String(&q.SubResource)
		case "operation":
			s.String(&q.Operation)
		case "namespace":
			s.String(&q.Namespace)
		case "userInfo":
			for key := range s.Members() {
				if string(key) == "username" {
					s.String(&q.User)
				}
			}
		case "dryRun":
			s.Bool(&q.DryRun)
		case "object":
			q.Object = readPod(s)
		}
	}
	return q
}

// readPod is nil for null.
func readPod(s *jsonscan.Scanner) *pod {
	if s.Null() {
		return nil
	}
	p := &pod{}
	for key := range s.Members() {
		switch string(key) {
		case "metadata":
			p.readMetadata(s)
		case "spec":
			for key := range s.Members() {
				if string(key) == "volumes" {
					p.Claims, p.More = readClaims(s)
				}
			}
		}
	}
	return p
}

func (p *pod) readMetadata(s *jsonscan.Scanner) {
	for key := range s.Members() {
		switch string(key) {
		case "name":
			s.String(&p.Name)
		case "generateName":
			s.String(&p.GenerateName)
		case "namespace":
			s.String(&p.Namespace)
		case "annotations":
			p.Annotations, p.Annotated = readNeeded(s, needsAnnotation)
		case "labels":
			p.Labels, _ = readNeeded(s, provision.NeedsLabel[[]byte])
		case "ownerReferences":
			p.Controller = readController(s)
		}
	}
}

// readNeeded keeps of annotations or labels the hints and what else is needed; length is
// that of all of them, keys and values. It is nil for null, which an empty object is not.
func readNeeded(s *jsonscan.Scanner, needed func(key []byte) bool) (kept map[string]string, length int) {
	if s.Null() {
		return nil, 0
	}
	kept = map[string]string{}
	room := claim.MaxHints
	for key := range s.Members() {
		length += len(key)
		switch {
		case claim.Concerns(key):
			length += readHint(s, key, kept, &room)
		case needed(key):
			name, value := s.Keep(key), s.Text()
			length += len(value)
			kept[name] = s.Keep(value[:min(len(value), longestValue)])
		default:
			length += s.Length()
		}
	}
	return kept, length
}

// readHint keeps a hint where there is room for it; length is its value's. Where there is
// not, a hint is put there that needs more, so that package claim refuses them all.
func readHint(s *jsonscan.Scanner, key []byte, kept map[string]string, room *int) (length int) {
	here := s.Here()
	length = s.Length()
	if *room < 0 {
		return length
	}
	if *room -= len(key) + length; *room < 0 {
		kept[claim.Domain+"/"] = strings.Repeat(" ", claim.MaxHints)
		return length
	}
	name := s.Keep(key)
	s.Back(here)
	kept[name] = s.Keep(s.Text())
	return length
}

// needsAnnotation is for an annotation's key that is no hint's.
func needsAnnotation(key []byte) bool { return string(key) == corev1.MirrorPodAnnotationKey }

// readController keeps the first reference that says so of itself, and nothing of the others.
func readController(s *jsonscan.Scanner) (controller *metav1.OwnerReference) {
	for range s.Elements() {
		here, controls := s.Here(), false
		for key := range s.Members() {
			switch string(key) {
			case "apiVersion", "kind", "name", "uid":
				s.Length()
			case "controller":
				s.Bool(&controls)
			}
		}
		if !controls || controller != nil {
			continue
		}
		s.Back(here)
		controller = &metav1.OwnerReference{}
		for key := range s.Members() {
			switch string(key) {
			case "apiVersion":
				s.String(&controller.APIVersion)
			case "kind":
				s.String(&controller.Kind)
			case "name":
				s.String(&controller.Name)
			case "uid":
				s.String((*string)(&controller.UID))
			}
		}
	}
	return controller
}

// readClaims keeps some claims and counts how many more there are.
func readClaims(s *jsonscan.Scanner) (claims []provision.Use, more int) {
	var beyond map[uint64]struct{} // hashes, since there may be a hundred thousand names
	var buffer [longestName]byte
	name := buffer[:0]
	known := func(c provision.Use) bool { return c.Name == string(name) }
	for i := range s.Elements() {
		for key := range s.Members() {
			if string(key) != "persistentVolumeClaim" || s.Null() {
				continue
			}
			name = name[:0]
			for key := range s.Members() {
				if string(key) == "claimName" && s.Kind() != jsonscan.Null {
					text := s.Text()
					name = append(name[:0], text[:min(len(text), longestName)]...)
				}
			}
			switch {
			case slices.ContainsFunc(claims, known):
			case len(claims) == mostClaims:
				if beyond == nil {
					beyond = map[uint64]struct{}{}
				}
				beyond[maphash.Bytes(seed, name)] = struct{}{}
			default:
				if claims == nil {
					claims = make([]provision.Use, 0, 4)
				}
				claims = append(claims, provision.Use{
					Name: s.Keep(name), Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName",
				})
			}
		}
	}
	return claims, len(beyond)
}

var seed = maphash.MakeSeed()

// wanted is what the request asks of package provision.
func (q *request) wanted() provision.Request {
	p := q.Object
	w := provision.Request{
		Namespace:   q.Namespace,
		PodName:     p.Name,
		Annotations: p.Annotations,
		Labels:      p.Labels,
		Controller:  p.Controller,
		Claims:      p.Claims,
		More:        p.More,
		User:        q.User,
		DryRun:      q.DryRun,
	}
	if w.PodName == "" {
		w.PodName = p.GenerateName + "*"
	}
	return w
}

// mirror reports whether the pod is a mirror pod, which a kubelet made of a
// static one: it runs already and cannot be refused.
func (p *pod) mirror() bool {
	_, ok := p.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}
