package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// coverage is the statements of blocks, by block, and how often these were reached.
// Profiles of several runs add up: a block that one of them reached is covered.
type coverage map[string]block

type block struct{ statements, reached uint64 }

// add adds a profile.
func (c coverage) add(profile []byte) error {
	for line := range strings.Lines(string(profile)) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		fields := strings.Fields(line) // file:from,to statements count
		if len(fields) != 3 || !strings.Contains(fields[0], ":") {
			return fmt.Errorf("%q is no line of a profile", line)
		}
		b := c[fields[0]]
		b.statements = number(fields[1])
		b.reached += number(fields[2])
		c[fields[0]] = b
	}
	return nil
}

// of returns how many statements a package has and how many of them were reached; "" is
// all packages.
func (c coverage) of(pkg string) (all, reached uint64) {
	for place, b := range c {
		file, _, _ := strings.Cut(place, ":")
		if pkg != "" && path.Dir(file) != module+"/"+pkg {
			continue
		}
		all += b.statements
		if b.reached > 0 {
			reached += b.statements
		}
	}
	return all, reached
}

// missed are the places that nothing reached.
func (c coverage) missed() (list []string) {
	for place, b := range c {
		if b.reached == 0 && b.statements > 0 {
			list = append(list, strings.TrimPrefix(place, module+"/"))
		}
	}
	slices.Sort(list)
	return list
}
