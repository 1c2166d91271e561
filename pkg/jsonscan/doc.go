// Package jsonscan reads the few values that a caller wants of a JSON document,
// and skips the rest. What is skipped is checked like what is read, but costs no
// memory: of a review of 11 KiB the webhook keeps less than two.
//
//	s := jsonscan.New(text)
//	for key := range s.Members() {
//		switch string(key) {
//		case "name":
//			s.String(&name)
//		case "annotations":
//			for key := range s.Members() { … }
//		}
//	}
//	err := s.End()
//
// It reads what encoding/json reads, as encoding/json reads it: null leaves a
// value alone, invalid UTF-8 and halves of surrogate pairs become U+FFFD, more
// than 10,000 levels are refused. Of a key that stands twice each value is met, in
// its order. Keys are compared by the caller, so their case counts.
package jsonscan
