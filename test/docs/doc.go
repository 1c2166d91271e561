// Package docs runs the commands of a document, so that what it says is what happens.
//
// Of a document in Markdown two kinds of fenced blocks are run, in their order:
//
//	```sh       a script that must succeed
//	```console  commands, each on a line that begins with "$ ", with the output to expect below
//
// In what is expected, a line that is "…" stands for any number of lines, also none, and "…" within a line for any text. Runs of
// blanks are one blank, since tables are as wide as their longest value. Output is standard output and error together, in
// the order in which they were written.
//
// A command of a console block may fail only where the document shows how it does: where the last line to expect is not
// "…". A line that ends in a backslash, and a here-document, are continued on lines that begin with "> ".
//
// What a script exports holds for everything after it.
//
// Blocks in yaml, text and promql are illustrations and are not run; who wants none of them in a document asks for them. Every
// other kind is an error, and so is what looks like a block or a prompt without such a fence: a command that nobody runs may be
// wrong.
package docs
