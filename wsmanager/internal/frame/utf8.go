package frame

import "unicode/utf8"

// UTF8 validates UTF-8 that arrives in pieces, and fails at the first byte that can't
// follow in a valid text (Unicode 15, table 3-7). The zero value is ready for use.
type UTF8 struct {
	need   uint8 // missing continuation bytes
	lo, hi byte  // range of the next one
}

// Feed reports whether all bytes since the beginning are a prefix of a valid text. It must
// not be called again after false.
func (c *UTF8) Feed(p []byte) bool {
	for len(p) > 0 && c.need > 0 {
		if !c.step(p[0]) {
			return false
		}
		p = p[1:]
	}
	// Only the last character can be incomplete. It begins in the last three bytes then.
	tail := len(p)
	for i := 1; i <= 3 && i <= len(p); i++ {
		if b := p[len(p)-i]; b >= 0xC0 {
			tail = len(p) - i
			break
		} else if b < 0x80 {
			break
		}
	}
	if !utf8.Valid(p[:tail]) {
		return false
	}
	for _, b := range p[tail:] {
		if !c.step(b) {
			return false
		}
	}
	return true
}

// Complete reports whether the text may end here.
func (c *UTF8) Complete() bool { return c.need == 0 }

func (c *UTF8) step(b byte) bool {
	if c.need > 0 {
		if b < c.lo || b > c.hi {
			return false
		}
		c.need--
		c.lo, c.hi = 0x80, 0xBF
		return true
	}
	c.lo, c.hi = 0x80, 0xBF
	switch {
	case b < 0x80:
	case b < 0xC2:
		return false
	case b < 0xE0:
		c.need = 1
	case b < 0xF0:
		c.need = 2
		switch b {
		case 0xE0:
			c.lo = 0xA0 // no overlong forms
		case 0xED:
			c.hi = 0x9F // no surrogates
		}
	case b < 0xF5:
		c.need = 3
		switch b {
		case 0xF0:
			c.lo = 0x90 // no overlong forms
		case 0xF4:
			c.hi = 0x8F // nothing above U+10FFFF
		}
	default:
		return false
	}
	return true
}
