// Package process starts the programs that tests and demonstrations need beside
// them, waits for what these do, and ends them: by their process ids, and in any
// case when the program that started them has ended.
package process
