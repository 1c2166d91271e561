package mutate

import (
	"errors"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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

// pod is what is read of a pod.
type pod struct {
	Name         string
	GenerateName string
	Namespace    string
	Annotations  map[string]string
	Labels       map[string]string
	// Controller is the first of its ownerReferences that says so of itself.
	Controller *metav1.OwnerReference
	// Claims are the claims that its volumes name, each once.
	Claims []provision.Use
}

// decode reads a review. Its errors are for whoever sent it: an API server that
// is configured wrongly, or somebody who is none. The request does not refer to body.
func decode(body []byte) (*request, error) {
	var apiVersion, kind string
	var q *request
	s := jsonscan.New(body)
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
			p.Annotations = readStrings(s)
		case "labels":
			p.Labels = readStrings(s)
		case "ownerReferences":
			p.Controller = readController(s)
		}
	}
}

// readStrings is nil for null, which an empty object is not.
func readStrings(s *jsonscan.Scanner) map[string]string {
	if s.Null() {
		return nil
	}
	m := map[string]string{}
	for key := range s.Members() {
		name, value := s.Keep(key), ""
		s.String(&value)
		m[name] = value
	}
	return m
}

func readController(s *jsonscan.Scanner) (controller *metav1.OwnerReference) {
	for range s.Elements() {
		var ref metav1.OwnerReference
		var controls bool
		for key := range s.Members() {
			switch string(key) {
			case "apiVersion":
				s.String(&ref.APIVersion)
			case "kind":
				s.String(&ref.Kind)
			case "name":
				s.String(&ref.Name)
			case "uid":
				s.String((*string)(&ref.UID))
			case "controller":
				s.Bool(&controls)
			}
		}
		if controls && controller == nil {
			controller = &ref
		}
	}
	return controller
}

func readClaims(s *jsonscan.Scanner) (claims []provision.Use) {
	seen := map[string]bool{}
	for i := range s.Elements() {
		for key := range s.Members() {
			if string(key) != "persistentVolumeClaim" || s.Null() {
				continue
			}
			var name string
			for key := range s.Members() {
				if string(key) == "claimName" {
					s.String(&name)
				}
			}
			if !seen[name] {
				seen[name] = true
				if claims == nil {
					claims = make([]provision.Use, 0, 4)
				}
				claims = append(claims, provision.Use{
					Name: name, Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName",
				})
			}
		}
	}
	return claims
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
	_, ok := p.Annotations["kubernetes.io/config.mirror"]
	return ok
}
