package mutate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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

// maxKept is how many bytes are kept of a review: all hints that are read, as often
// again, and all names that a pod may have.
const maxKept = 5 * claim.MaxHints

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
	// Claims are the claims that its volumes name, each once, but no more than show
	// that there are too many.
	Claims []provision.Use
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
					p.Claims = readClaims(s)
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
			p.Labels, _ = readNeeded(s, provision.Needs[[]byte])
		case "ownerReferences":
			p.Controller = readController(s)
		}
	}
}

// readNeeded keeps of annotations or labels those that decisions need; length is that of
// all of them, keys and values. It is nil for null, which an empty object is not. Where
// there is more than package claim reads it keeps enough for that to be seen, and no more.
func readNeeded(s *jsonscan.Scanner, needs func(key []byte) bool) (needed map[string]string, length int) {
	if s.Null() {
		return nil, 0
	}
	needed = map[string]string{}
	const most = claim.MaxHints + 1
	kept := 0
	for key := range s.Members() {
		length += len(key)
		if kept >= most || !needs(key) {
			length += s.Length()
			continue
		}
		name := s.Keep(key[:min(len(key), most)])
		kept += len(name)
		value := s.Text()
		length += len(value)
		value = value[:min(len(value), max(most-kept, 0))]
		kept += len(value)
		needed[name] = s.Keep(value)
	}
	return needed, length
}

// needsAnnotation is for an annotation's key.
func needsAnnotation(key []byte) bool {
	return provision.Needs(key) || string(key) == corev1.MirrorPodAnnotationKey
}

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

func readClaims(s *jsonscan.Scanner) (claims []provision.Use) {
	enough := func() bool { return len(claims) > claim.MaxClaims }
	for i := range s.Elements() {
		for key := range s.Members() {
			if string(key) != "persistentVolumeClaim" || s.Null() {
				continue
			}
			var name string
			for key := range s.Members() {
				if string(key) == "claimName" && !enough() {
					name = readName(s, claims)
				}
			}
			if enough() || slices.ContainsFunc(claims, func(c provision.Use) bool { return c.Name == name }) {
				continue
			}
			if claims == nil {
				claims = make([]provision.Use, 0, 4)
			}
			claims = append(claims, provision.Use{
				Name: name, Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName",
			})
		}
	}
	return claims
}

// readName keeps a name that is not among the claims yet.
func readName(s *jsonscan.Scanner, claims []provision.Use) string {
	text := s.Text()
	for _, c := range claims {
		if c.Name == string(text) {
			return c.Name
		}
	}
	return s.Keep(text)
}

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
