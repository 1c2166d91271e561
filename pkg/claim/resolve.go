package claim

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Value is a field's value and where it was read.
type Value[T any] struct {
	Value T
	From  Origin
}

// Hinted reports whether the value came from a hint.
func (v Value[T]) Hinted() bool { return v.From.Hinted() }

// Want is what the hints together say of one claim. Fields that no hint names
// have their fallback and a zero From.
type Want struct {
	Name    string
	Storage Value[resource.Quantity]
	// StorageClass: where it is not hinted, the cluster's default class; where
	// it is hinted and empty, explicitly none.
	StorageClass               Value[string]
	AccessModes                Value[Modes]
	CreateIfNotExists          Value[bool]
	DeleteOnSandboxTermination Value[bool]
	// Faults are all that concern this claim. While there is one, the claim
	// must not be created; a field whose own value is faulty looks as if not hinted.
	Faults []Fault
}

// Resolve puts the hints of several objects together for one claim. The layers
// come in the order of their rank: pod, owner, Namespace; a layer that is
// not known is left out. storage is the one fallback size.
func Resolve(name string, storage resource.Quantity, layers ...*Hints) Want {
	w := Want{Name: name}
	for _, l := range layers {
		for _, f := range l.faults {
			if f.Claim == "" || f.Claim == name {
				w.Faults = append(w.Faults, *f)
			}
		}
	}
	w.Storage = pick(&w, layers, storage, func(v *values) *entry[resource.Quantity] { return &v.storage })
	w.StorageClass = pick(&w, layers, "", func(v *values) *entry[string] { return &v.class })
	w.AccessModes = pick(&w, layers, ReadWriteOnce, func(v *values) *entry[Modes] { return &v.modes })
	w.CreateIfNotExists = pick(&w, layers, true, func(v *values) *entry[bool] { return &v.create })
	w.DeleteOnSandboxTermination = pick(&w, layers, false, func(v *values) *entry[bool] { return &v.delete })
	return w
}

// fault adds the fault of a value that is picked, once: those of a Namespace
// are met here first, all others again.
func (w *Want) fault(f *Fault) {
	if !slices.Contains(w.Faults, *f) {
		w.Faults = append(w.Faults, *f)
	}
}

// pick is the precedence: the first entry that is there wins. A faulty one wins
// too, with no value but its fault.
func pick[T any](w *Want, layers []*Hints, fallback T, field func(*values) *entry[T]) Value[T] {
	for _, l := range layers {
		for _, s := range [...]*scope{l.scope(w.Name), l.scope("")} {
			if s == nil {
				continue
			}
			for i := range s.ranks {
				e := field(&s.ranks[i])
				if e.fault != nil {
					w.fault(e.fault)
					return Value[T]{Value: fallback}
				}
				if e.from.Hinted() {
					return Value[T]{Value: e.value, From: e.from}
				}
			}
		}
	}
	return Value[T]{Value: fallback}
}
