package main

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed stories/*.yaml
var storyFiles embed.FS

// story is one pod that somebody creates, and what must come of it.
type story struct {
	file   string   // the pod, in the folder stories
	title  string   // in a few words
	before []string // kubectl's arguments: what an administrator does first, if anything
	until  []string // kubectl's arguments: what is waited for then
	flags  []string // of kubectl create

	refused bool     // whether the pod is
	answer  []string // what kubectl's output must hold
	claims  []string // name, size, class and modes of each claim that there is then
}

// stories are in the order they are told: each begins with the claims of the
// one before.
func stories() []story {
	alice := "alice-home 10Gi fast ReadWriteOnce"
	bob := []string{"bob-data 5Gi fast ReadWriteOnce", "bob-shared 1Gi fast ReadWriteMany"}
	three := append([]string{alice}, bob...)
	four := append(slices.Clone(three), "carol-scratch 1Gi standard ReadWriteOnce")
	return []story{{
		file:   "1-opensandbox.yaml",
		title:  "A sandbox as OpenSandbox creates it: the hints come through its API's extensions",
		answer: []string{"created"},
		claims: []string{alice},
	}, {
		file:   "2-flat.yaml",
		title:  "Flat hints: one for every claim of the pod, one for each alone",
		answer: []string{"pod/bob created"},
		claims: three,
	}, {
		file:   "3-no-hints.yaml",
		title:  "No hints: the fallback size, and the cluster's default class",
		answer: []string{"pod/carol created"},
		claims: four,
	}, {
		file:    "4-two-faults.yaml",
		title:   "Two faults in the hints: both are told at once, and nothing is created",
		refused: true,
		answer:  []string{`"10 GB"`, `"ReadWriteTwice"`},
		claims:  four,
	}, {
		file:    "5-over-quota.yaml",
		title:   "Over quota: the cluster's own words",
		before:  []string{"create", "quota", "storage", "--hard=requests.storage=20Gi"},
		until:   []string{"wait", "quota/storage", `--for=jsonpath={.status.used.requests\.storage}=17Gi`, "--timeout=30s"},
		refused: true,
		answer:  []string{"exceeded quota: storage, requested: requests.storage=50Gi, used: requests.storage=17Gi, limited: requests.storage=20Gi"},
		claims:  four,
	}, {
		file:   "6-dry-run.yaml",
		title:  "A dry run: quota and permissions really answer, nothing is written",
		flags:  []string{"--dry-run=server"},
		answer: []string{"pod/frank created (server dry run)"},
		claims: four,
	}, {
		file:   "7-exists.yaml",
		title:  "The claim exists: it is used as it is, and what differs is a warning",
		answer: []string{"pod/alice-again created", "Warning:", `"alice-home"`, "20Gi", "10Gi"},
		claims: four,
	}}
}

// manifest is the story's pod, as kubectl gets it.
func (s story) manifest() (string, error) {
	content, err := storyFiles.ReadFile("stories/" + s.file)
	if err != nil {
		return "", fmt.Errorf("reading the story: %w", err)
	}
	return string(content), nil
}

// asked tells what the pod asks for: the claims it uses, and its hints.
func asked(manifest string) ([]string, error) {
	var pod corev1.Pod
	if err := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(manifest)), len(manifest)).Decode(&pod); err != nil {
		return nil, fmt.Errorf("decoding the story: %w", err)
	}
	var claims []string
	for _, volume := range pod.Spec.Volumes {
		claims = append(claims, volume.PersistentVolumeClaim.ClaimName)
	}
	noun := "claim "
	if len(claims) > 1 {
		noun = "claims "
	}
	result := []string{noun + strings.Join(claims, ", ")}
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		result = append(result, key+": "+pod.Annotations[key])
	}
	return result, nil
}
