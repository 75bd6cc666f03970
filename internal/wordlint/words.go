package wordlint

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// List is a list of words and forms to be found.
type List struct {
	patterns []*regexp.Regexp
}

// Hit is an occurrence in a file.
type Hit struct {
	Line int    // of its first character, from 1
	Text string // the occurrence with single spaces, as it is written
}

// ParseList reads a list: one regular expression on each line, matched without regard to
// case. A space in it matches any white space, so a form is also found across the end of
// a line. Empty lines and lines that begin with "#" are ignored.
func ParseList(data []byte) (*List, error) {
	list := &List{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, err := regexp.Compile("(?i)" + strings.ReplaceAll(line, " ", `\s+`))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list.patterns = append(list.patterns, pattern)
	}
	return list, lines.Err()
}

// find returns the occurrences in a text whose first line has the number first.
func (l *List) find(text string, first int) []Hit {
	var hits []Hit
	for _, pattern := range l.patterns {
		for _, at := range pattern.FindAllStringIndex(text, -1) {
			hits = append(hits, Hit{
				Line: first + strings.Count(text[:at[0]], "\n"),
				Text: strings.Join(strings.Fields(text[at[0]:at[1]]), " "),
			})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return a.Line - b.Line })
	return hits
}
