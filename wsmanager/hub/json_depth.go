package hub

import (
	"bytes"
	"errors"
)

// maxJSONDepth is how many levels of arrays and objects a record may have that is sent. The .NET client and ASP.NET Core
// read 64 levels, the default of System.Text.Json. They end the connection when a record has more.
const maxJSONDepth = 64

var errTooDeep = errors.New("the value is nested too deeply: a message in JSON has at most 64 levels")

// checkDepth checks the values of a message, before they are sent.
func checkDepth(m Message) error {
	switch m := m.(type) {
	case *Invocation:
		for _, a := range m.Arguments {
			if deeper(a, maxJSONDepth-2) { // in the array of arguments in the record
				return errTooDeep
			}
		}
	case *StreamItem:
		if deeper(m.Item, maxJSONDepth-1) {
			return errTooDeep
		}
	case *Completion:
		if deeper(m.Result, maxJSONDepth-1) {
			return errTooDeep
		}
	}
	return nil
}

// deeper reports whether a valid value has more levels of arrays and objects than the limit.
func deeper(raw Raw, limit int) bool {
	// Almost all values are short or have few brackets. Counting is much faster than the search below.
	if len(raw) <= 2*limit || bytes.Count(raw, []byte{'['})+bytes.Count(raw, []byte{'{'}) <= limit {
		return false
	}
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			if depth++; depth > limit {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}
