package mpack

import (
	"fmt"
	"strconv"
	"time"
)

// KeyText reads the key of a map as the text that it is in JSON: a text as it is, an integer in decimal, a boolean as "True"
// or "False", which is how .NET writes it, and a timestamp in RFC 3339. Other keys are errors.
func KeyText(p []byte) (text string, rest []byte, err error) {
	h, rest, err := Read(p)
	if err != nil {
		return "", nil, err
	}
	switch h.Kind {
	case String:
		return ValidText(string(rest[:h.N])), rest[h.N:], nil
	case Int:
		if h.Negative {
			return strconv.FormatInt(int64(h.N), 10), rest, nil
		}
		return strconv.FormatUint(h.N, 10), rest, nil
	case Bool:
		if h.N == 1 {
			return "True", rest, nil
		}
		return "False", rest, nil
	case Extension:
		t, err := Time(rest[:h.N])
		return t.Format(time.RFC3339Nano), rest[h.N:], err
	}
	return "", nil, fmt.Errorf("%v as the key of a map", h.Kind)
}

// RefusedKey is a text that JavaScript's decoder refuses as the key of a map: a value that has it ends the connection of such a
// client.
const RefusedKey = "__proto__"
