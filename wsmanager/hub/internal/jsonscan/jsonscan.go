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
	for i++; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			if i++; i >= len(p) {
				return i, false
			}
			switch p[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(p) || !isHex(p[i]) {
						return i, false
					}
				}
			default:
				return i, false
			}
		}
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
	for i = start; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return p[start:i], i + 1, true
		case c < ' ' || c > '~' || c == '\\':
			return nil, i, false
		}
	}
	return nil, i, false
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
		more := false
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
		more := false
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

// Members iterates over the members of the object that is the whole of p. name and value are parts of p. It stops if f returns
// false. It returns whether p is a valid object whose names are plain (see Plain), and f never returned false.
func Members(p []byte, f func(name, value []byte) bool) bool {
	i := Space(p, 0)
	if i >= len(p) || p[i] != '{' {
		return false
	}
	if i = Space(p, i+1); i < len(p) && p[i] == '}' {
		return Space(p, i+1) == len(p)
	}
	for {
		name, end, ok := Plain(p, Space(p, i))
		if !ok {
			return false
		}
		if i = Space(p, end); i >= len(p) || p[i] != ':' {
			return false
		}
		start := Space(p, i+1)
		if i, ok = Value(p, start); !ok || !f(name, p[start:i]) {
			return false
		}
		more := false
		if i, more, ok = separator(p, i, '}'); !more {
			return ok && Space(p, i) == len(p)
		}
	}
}

// Elements iterates over the elements of the array that is the whole of p, like Members.
func Elements(p []byte, f func(value []byte) bool) bool {
	if len(p) == 0 || p[0] != '[' {
		return false
	}
	i := Space(p, 1)
	if i < len(p) && p[i] == ']' {
		return i+1 == len(p)
	}
	for {
		start := Space(p, i)
		end, ok := Value(p, start)
		if !ok || !f(p[start:end]) {
			return false
		}
		more := false
		if i, more, ok = separator(p, end, ']'); !more {
			return ok && i == len(p)
		}
	}
}
