package transcode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

var errInvalidJSON = errors.New("the value is not valid JSON")

// ToMessagePack appends a value of JSON to MessagePack.
func ToMessagePack(dst, value []byte) ([]byte, error) {
	if !json.Valid(value) {
		return dst, errInvalidJSON
	}
	sizes, err := countChildren(value)
	if err != nil {
		return dst, err
	}
	c := converter{json: value, sizes: sizes, out: dst}
	err = c.value()
	return c.out, err
}

// converter converts valid JSON.
type converter struct {
	json  []byte // not yet converted
	sizes []int  // of the arrays and objects in json, in the order of their beginnings
	out   []byte
}

// next returns the next byte that is not space.
func (c *converter) next() byte {
	for c.json[0] == ' ' || c.json[0] == '\t' || c.json[0] == '\n' || c.json[0] == '\r' {
		c.json = c.json[1:]
	}
	return c.json[0]
}

// value converts a value. countChildren has limited the recursion.
func (c *converter) value() error {
	switch b := c.next(); b {
	case 'n':
		c.json, c.out = c.json[len("null"):], mpack.AppendNil(c.out)
	case 't':
		c.json, c.out = c.json[len("true"):], mpack.AppendBool(c.out, true)
	case 'f':
		c.json, c.out = c.json[len("false"):], mpack.AppendBool(c.out, false)
	case '"':
		c.out = mpack.AppendString(c.out, c.text())
	case '[', '{':
		return c.container(b == '{')
	default:
		n := 1
		for n < len(c.json) && bytes.IndexByte([]byte("+-.0123456789eE"), c.json[n]) >= 0 {
			n++
		}
		c.out = AppendNumber(c.out, string(c.json[:n]))
		c.json = c.json[n:]
	}
	return nil
}

func (c *converter) container(object bool) error {
	n := c.sizes[0]
	c.sizes = c.sizes[1:]
	if object {
		c.out = mpack.AppendMap(c.out, n)
	} else {
		c.out = mpack.AppendArray(c.out, n)
	}
	c.json = c.json[1:]
	for range n {
		if c.next() == ',' {
			c.json = c.json[1:]
			c.next()
		}
		if object {
			key := c.text()
			if key == mpack.RefusedKey {
				return fmt.Errorf("JavaScript refuses the key %q", key)
			}
			c.out = mpack.AppendString(c.out, key)
			c.next()
			c.json = c.json[1:] // the colon
		}
		if err := c.value(); err != nil {
			return err
		}
	}
	c.next()
	c.json = c.json[1:] // the bracket
	return nil
}

// text reads a string.
func (c *converter) text() string {
	n, plain := textEnd(c.json)
	raw := c.json[:n]
	c.json = c.json[n:]
	if plain {
		return string(raw[1 : n-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return s
}

// textEnd returns the length of the string at the start of p, and whether it has no escapes.
func textEnd(p []byte) (n int, plain bool) {
	plain = true
	for n = 1; p[n] != '"'; n++ {
		if p[n] == '\\' {
			plain = false
			n++
		}
	}
	return n + 1, plain
}

// countChildren returns the number of elements or members of each array and object, in the order of their beginnings.
func countChildren(p []byte) (sizes []int, err error) {
	var open []int // indexes into sizes
	for i := 0; i < len(p); i++ {
		switch b := p[i]; b {
		case ' ', '\t', '\n', '\r', ':':
			continue
		case ']', '}':
			open = open[:len(open)-1]
			continue
		case ',':
			sizes[open[len(open)-1]]++
			continue
		}
		if n := len(open); n > 0 && sizes[open[n-1]] == 0 {
			sizes[open[n-1]] = 1 // the first child
		}
		switch p[i] {
		case '"':
			n, _ := textEnd(p[i:])
			i += n - 1
		case '[', '{':
			if len(open) == MaxDepth {
				return nil, errTooDeep
			}
			open = append(open, len(sizes))
			sizes = append(sizes, 0)
		}
	}
	return sizes, nil
}
