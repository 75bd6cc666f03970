// Package wordlint finds words that make English text hard to read: in the comments and
// the log and error texts of Go files, and in Markdown pages.
//
// Only its own tests use it. They check all files of all modules of the repository:
//
//	go test ./internal/wordlint
//
// Three files control them:
//
//   - words.txt has the words and forms, one regular expression on each line.
//   - exceptions.txt has single occurrences that are allowed, each with a reason.
//   - pages.txt has Markdown pages that are not checked yet, each with a reason.
//
// An entry without an occurrence is an error. So the lists never allow more than is needed.
//
// Identifiers, import paths, code blocks and other string literals are not checked.
package wordlint
