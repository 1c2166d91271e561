// Package guard holds what must stay true of this repository as a whole: which
// package may import which, that everything exported is documented, that the
// documents say what the program does.
package guard
