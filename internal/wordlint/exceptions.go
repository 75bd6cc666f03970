package wordlint

import (
	"fmt"
	"slices"
	"strings"
)

// Entry is a line of an exception file.
type Entry struct {
	Path   string // of a file or directory, from the root of the repository, with slashes
	Text   string // the rest of the line after "path: "; "" if there is none
	Reason string // the comment above the line, or above the group of lines
}

// ParseEntries reads an exception file. Lines have the form "path" or "path: text". A
// comment above a group of lines gives its reason; a group without one is an error, and so
// is a repeated line. The comment at the beginning of the file, up to the first empty
// line, describes the file.
func ParseEntries(data []byte) ([]Entry, error) {
	_, body, _ := strings.Cut(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n\n")
	var list []Entry
	for group := range strings.SplitSeq(body, "\n\n") {
		var reason []string
		for line := range strings.SplitSeq(strings.Trim(group, "\n"), "\n") {
			if comment, ok := strings.CutPrefix(line, "#"); ok {
				reason = append(reason, strings.TrimSpace(comment))
				continue
			}
			if line == "" {
				continue
			}
			path, text, _ := strings.Cut(line, ": ")
			entry := Entry{path, text, strings.Join(reason, " ")}
			if entry.Reason == "" {
				return nil, fmt.Errorf("%q has no comment with its reason above it", line)
			}
			if slices.ContainsFunc(list, func(e Entry) bool { return e.Path == path && e.Text == text }) {
				return nil, fmt.Errorf("%q is listed twice", line)
			}
			list = append(list, entry)
		}
	}
	return list, nil
}
