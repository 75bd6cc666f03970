package jsonscan

// maxDepth is the deepest nesting of arrays and objects that Value scans.
const maxDepth = 32

// Space returns the index of the first byte from i on that is not white space.
func Space(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r') {
		i++
	}
	return i
}

// Value scans the value that begins at i, without white space. It returns the index behind it. ok is false if there is no
// valid value, or if it is nested too deeply.
func Value(p []byte, i int) (end int, ok bool) { return value(p, i, maxDepth) }

func value(p []byte, i, depth int) (end int, ok bool) {
	if i >= len(p) || depth == 0 {
		return i, false
	}
	switch c := p[i]; {
	case c == '"':
		return String(p, i)
	case c == '{':
		return object(p, i, depth)
	case c == '[':
		return array(p, i, depth)
	case c == '-' || isDigit(c):
		return number(p, i)
	case c == 't':
		return literal(p, i, "true")
	case c == 'f':
		return literal(p, i, "false")
	case c == 'n':
		return literal(p, i, "null")
	}
	return i, false
}

func literal(p []byte, i int, text string) (end int, ok bool) {
	end = i + len(text)
	return end, end <= len(p) && string(p[i:end]) == text
}

// String scans the string that begins at i, with its quotes.
func String(p []byte, i int) (end int, ok bool) {
	if i >= len(p) || p[i] != '"' {
		return i, false
	}
	for i++; ; i++ {
		if i += Run(p[i:]); i >= len(p) {
			return i, false
		}
		switch c := p[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			if i, ok = escape(p, i+1); !ok {
				return i, false
			}
		}
	}
}

// escape scans the rest of an escape behind its backslash. It returns the index of its last byte.
func escape(p []byte, i int) (last int, ok bool) {
	if i >= len(p) {
		return i, false
	}
	switch p[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i, true
	case 'u':
		for range 4 {
			if i++; i >= len(p) || !isHex(p[i]) {
				return i, false
			}
		}
		return i, true
	}
	return i, false
}

// Plain scans the string that begins at i, and fails unless it has only printable ASCII without escapes: then the bytes
// between its quotes are its text.
func Plain(p []byte, i int) (text []byte, end int, ok bool) {
	if i >= len(p) || p[i] != '"' {
		return nil, i, false
	}
	start := i + 1
	if i = start + Run(p[start:]); i >= len(p) || p[i] != '"' {
		return nil, i, false
	}
	return p[start:i], i + 1, true
}

// Run returns how many bytes at the start of text are printable ASCII and neither a quote nor a backslash: in a string of JSON
// they mean themselves.
func Run[T string | []byte](text T) int {
	const low, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		v := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		// x-low sets the high bit of each byte that is 0 in x, and perhaps of bytes above one that is: the loop below decides.
		control, quote, backslash, del := v-low*' ', v^low*'"', v^low*'\\', v^low*0x7f
		if (v|control|(quote-low)&^quote|(backslash-low)&^backslash|(del-low)&^del)&high != 0 {
			break
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func number(p []byte, i int) (end int, ok bool) {
	if p[i] == '-' {
		i++
	}
	switch first := i; {
	case first < len(p) && p[first] == '0':
		i++
	default:
		if i, ok = digits(p, i); !ok {
			return i, false
		}
	}
	if i < len(p) && p[i] == '.' {
		if i, ok = digits(p, i+1); !ok {
			return i, false
		}
	}
	if i < len(p) && (p[i] == 'e' || p[i] == 'E') {
		if i++; i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		if i, ok = digits(p, i); !ok {
			return i, false
		}
	}
	return i, true
}

func digits(p []byte, i int) (end int, ok bool) {
	start := i
	for i < len(p) && isDigit(p[i]) {
		i++
	}
	return i, i > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func array(p []byte, i, depth int) (end int, ok bool) {
	i = Space(p, i+1)
	if i < len(p) && p[i] == ']' {
		return i + 1, true
	}
	for {
		if i, ok = value(p, Space(p, i), depth-1); !ok {
			return i, false
		}
		var more bool
		if i, more, ok = separator(p, i, ']'); !more {
			return i, ok
		}
	}
}

func object(p []byte, i, depth int) (end int, ok bool) {
	i = Space(p, i+1)
	if i < len(p) && p[i] == '}' {
		return i + 1, true
	}
	for {
		if i, ok = String(p, Space(p, i)); !ok {
			return i, false
		}
		if i = Space(p, i); i >= len(p) || p[i] != ':' {
			return i, false
		}
		if i, ok = value(p, Space(p, i+1), depth-1); !ok {
			return i, false
		}
		var more bool
		if i, more, ok = separator(p, i, '}'); !more {
			return i, ok
		}
	}
}

// separator scans what follows an element of an array or object: a comma, then more is true, or its end.
func separator(p []byte, i int, end byte) (next int, more, ok bool) {
	if i = Space(p, i); i >= len(p) {
		return i, false, false
	}
	return i + 1, p[i] == ',', p[i] == ',' || p[i] == end
}

// Scanner scans an object that is the whole of a text, one member after the other:
//
//	s := New(text)
//	for s.Next() {
//		// one of Value, Plain and Elements, or return
//	}
//	valid := s.Valid()
type Scanner struct {
	p     []byte
	i     int
	name  []byte
	begun bool
	ended bool // the end of the object was found
	bad   bool
}

// New makes a Scanner.
func New(p []byte) Scanner { return Scanner{p: p} }

// Next moves to the next member. It returns false at the end of the object, and if the text is not valid or a name is not plain
// (see Plain).
func (s *Scanner) Next() bool {
	if s.bad || s.ended {
		return false
	}
	if !s.begun {
		s.begun = true
		if s.i = Space(s.p, 0); s.i >= len(s.p) || s.p[s.i] != '{' {
			return s.fail()
		}
		if s.i = Space(s.p, s.i+1); s.i < len(s.p) && s.p[s.i] == '}' {
			s.i, s.ended = s.i+1, true
			return false
		}
	} else {
		end, more, ok := separator(s.p, s.i, '}')
		if s.i = end; !more {
			s.ended, s.bad = ok, !ok
			return false
		}
	}
	var ok bool
	if s.name, s.i, ok = Plain(s.p, Space(s.p, s.i)); !ok {
		return s.fail()
	}
	if s.i = Space(s.p, s.i); s.i >= len(s.p) || s.p[s.i] != ':' {
		return s.fail()
	}
	s.i = Space(s.p, s.i+1)
	return true
}

func (s *Scanner) fail() bool {
	s.bad = true
	return false
}

// Name returns the name of the member.
func (s *Scanner) Name() []byte { return s.name }

// Value returns the member's value.
func (s *Scanner) Value() []byte {
	start := s.i
	end, ok := Value(s.p, start)
	if s.i = end; !ok {
		s.fail()
		return nil
	}
	return s.p[start:end]
}

// Plain returns the text of the member's value. If that is not plain (see Plain), the Scanner fails.
func (s *Scanner) Plain() []byte {
	text, end, ok := Plain(s.p, s.i)
	if s.i = end; !ok {
		s.fail()
	}
	return text
}

// Elements stores the elements of the member's value, an array, and returns their number. If it is none, or there are more than
// the length of elements, the Scanner fails.
func (s *Scanner) Elements(elements [][]byte) (n int) {
	p := s.p
	if s.i >= len(p) || p[s.i] != '[' {
		s.fail()
		return 0
	}
	i := Space(p, s.i+1)
	if i < len(p) && p[i] == ']' {
		s.i = i + 1
		return 0
	}
	for more := true; more; n++ {
		start := Space(p, i)
		end, ok := Value(p, start)
		if !ok || n == len(elements) {
			s.fail()
			return 0
		}
		elements[n] = p[start:end]
		if i, more, ok = separator(p, end, ']'); !ok {
			s.fail()
			return 0
		}
	}
	s.i = i
	return n
}

// Valid reports whether Next has reached the end of a valid object with nothing behind it.
func (s *Scanner) Valid() bool { return s.ended && !s.bad && Space(s.p, s.i) == len(s.p) }
