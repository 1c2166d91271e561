package explain

import (
	"reflect"
	"strconv"
	"strings"
)

// Printable keeps what a manifest says from talking to a terminal: what one would
// not print, a line's end included, is escaped. Quotes stay as they are.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// makePrintable does so with every text in a value that can be set, but for the
// keys of maps.
func makePrintable(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(Printable(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			makePrintable(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			makePrintable(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			v.SetMapIndex(key, changed(v.MapIndex(key)))
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(changed(v.Elem()))
		}
	case reflect.Pointer:
		makePrintable(v.Elem()) // of nil: nothing
	}
}

// changed is a printable copy of a value that cannot be set.
func changed(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	makePrintable(c)
	return c
}
