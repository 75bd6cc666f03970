package jsonsize

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// Size returns about how many bytes of memory a value is going to take if it is decoded into a variable of type t. It stops
// when they exceed limit.
func Size(data []byte, t reflect.Type, limit int) int {
	w := &walker{data: data, limit: limit}
	w.value(t)
	return w.size
}

// maxDepth is the nesting that encoding/json allows.
const maxDepth = 10_000

// walker walks through the JSON of one value.
type walker struct {
	data  []byte
	at    int
	depth int
	size  int
	limit int
	stop  bool // the JSON is not valid, or size exceeds limit
}

func (w *walker) add(n int) {
	if w.size += n; w.size > w.limit || w.size < 0 {
		w.size = max(w.size, w.limit)
		w.stop = true
	}
}

// next returns the next byte that is not space, or 0 at the end.
func (w *walker) next() byte {
	for w.at < len(w.data) {
		switch b := w.data[w.at]; b {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return b
		}
	}
	w.stop = true
	return 0
}

// value walks through a value of type t. A nil type takes no memory.
func (w *walker) value(t reflect.Type) {
	b := w.next()
	if w.stop {
		return
	}
	if t != nil && t.Kind() == reflect.Pointer {
		if t = w.pointee(t, b); w.stop {
			return
		}
	}
	if t != nil && custom(t) {
		t = nil
	}
	switch {
	case t == nil:
		w.skip()
	case b == '{' || b == '[':
		if w.depth++; w.depth > maxDepth {
			w.stop = true
			return
		}
		if b == '{' {
			w.object(t)
		} else {
			w.array(t)
		}
		w.depth--
	default:
		if t.Kind() == reflect.Interface {
			w.scalar(b)
		}
		w.skip()
	}
}

// pointee adds what a pointer refers to. It returns its type, or nil for null.
func (w *walker) pointee(t reflect.Type, b byte) reflect.Type {
	if b == 'n' {
		return nil
	}
	for depth := 0; t.Kind() == reflect.Pointer; depth++ {
		if depth == maxPointers {
			return nil
		}
		t = t.Elem()
		w.add(object(t))
	}
	return t
}

// scalar adds a value in an interface that is neither an array nor an object.
func (w *walker) scalar(b byte) {
	switch b {
	case '"':
		w.add(stringSize)
	case 't', 'f', 'n':
	default:
		w.add(numberSize)
	}
}

func (w *walker) array(t reflect.Type) {
	var elem reflect.Type
	each := 0
	switch t.Kind() {
	case reflect.Slice:
		elem = t.Elem()
		each = int(elem.Size())
	case reflect.Array:
		elem = t.Elem()
	case reflect.Interface:
		elem = t
		each = interfaceSize
		w.add(sliceSize)
	default: // an error of encoding/json, which skips the array
		w.skip()
		return
	}
	w.at++
	for i := 0; !w.stop; i++ {
		if w.ended(']') {
			return
		}
		if t.Kind() == reflect.Array && i == t.Len() {
			elem = nil // there is no place for further elements
		}
		if i < doubling {
			w.add(growth * each)
		} else {
			w.add(each + each/4)
		}
		if !w.stop {
			w.value(elem)
		}
	}
}

// ended skips a comma, and reports whether the array or object ends here.
func (w *walker) ended(end byte) bool {
	b := w.next()
	if b == ',' {
		w.at++
		b = w.next()
	}
	if b == end {
		w.at++
		return true
	}
	return w.stop
}

func (w *walker) object(t reflect.Type) {
	var first, each int
	var elem reflect.Type
	var fields *structFields
	switch t.Kind() {
	case reflect.Struct:
		fields = fieldsOf(t)
	case reflect.Map:
		elem, first, each = t.Elem(), firstMember(t), member(t)
		w.add(mapSize)
	case reflect.Interface:
		elem, first, each = t, firstMember(anyMap), member(anyMap)
		w.add(mapSize)
	default: // as in array
		w.skip()
		return
	}
	w.at++
	for i := 0; !w.stop; i++ {
		if w.ended('}') {
			return
		}
		key := w.key()
		switch {
		case w.stop:
			return
		case fields == nil && i == 0:
			w.add(first - mapSize)
		case fields == nil && i >= groupSlots-1:
			w.add(each)
		case fields == nil:
			_, outside := slot(elem)
			w.add(outside)
		}
		w.member(fields, key, elem)
	}
}

// member walks through the value of a member of an object.
func (w *walker) member(fields *structFields, key []byte, elem reflect.Type) {
	if w.next() != ':' || w.stop {
		w.stop = true
		return
	}
	w.at++
	if fields != nil {
		f := fields.find(key)
		if f == nil {
			w.value(nil)
			return
		}
		w.add(f.embedded)
		if elem = f.typ; f.quoted {
			w.quoted(elem)
			return
		}
	}
	if !w.stop {
		w.value(elem)
	}
}

// quoted walks through a value within a string, which is a scalar or null.
func (w *walker) quoted(t reflect.Type) {
	if w.next(); t.Kind() == reflect.Pointer && !w.stop {
		w.pointee(t, '"')
	}
	if !w.stop {
		w.value(nil)
	}
}

// anyMap is the type of an object in an interface.
var anyMap = reflect.TypeFor[map[string]any]()

// key reads the name of a member.
func (w *walker) key() []byte {
	if w.next() != '"' {
		w.stop = true
		return nil
	}
	start := w.at
	w.text()
	if w.stop {
		return nil
	}
	quoted := w.data[start:w.at]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		w.stop = true
	}
	return []byte(name)
}

// text skips a string.
func (w *walker) text() {
	for i := w.at + 1; i < len(w.data); i++ {
		switch w.data[i] {
		case '\\':
			i++
		case '"':
			w.at = i + 1
			return
		}
	}
	w.stop = true
}

// skip skips a value. It does not recurse.
func (w *walker) skip() {
	for depth := 0; !w.stop; {
		switch w.next() {
		case '{', '[':
			depth++
			w.at++
		case '}', ']':
			depth--
			w.at++
		case ',', ':':
			w.at++
			continue // is within the value
		case '"':
			w.text()
		default:
			w.literal()
		}
		if depth <= 0 {
			return
		}
	}
}

// literal skips a number, true, false or null.
func (w *walker) literal() {
	start := w.at
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\r', '\n':
			if w.at == start {
				w.stop = true
			}
			return
		}
		w.at++
	}
}
