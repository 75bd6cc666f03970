package wordlint

import (
	"regexp"
	"strings"
)

// codeSpan matches code between backquotes, within a paragraph.
var codeSpan = regexp.MustCompile("`(?:[^`\n]|\n[^`\n])+`")

// Markdown returns the occurrences in the prose of a Markdown page: outside of fenced code
// blocks and code spans.
func (l *List) Markdown(src []byte) []Hit {
	lines := strings.Split(string(src), "\n")
	fence := ""
	for i, line := range lines {
		text := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(text, fence) {
				fence = ""
			}
			lines[i] = ""
		case strings.HasPrefix(text, "```"), strings.HasPrefix(text, "~~~"):
			fence = text[:3]
			lines[i] = ""
		}
	}
	text := codeSpan.ReplaceAllStringFunc(strings.Join(lines, "\n"), func(span string) string {
		return "\x00" + strings.Repeat("\n", strings.Count(span, "\n"))
	})
	return l.find(text, 1)
}
