package middleware

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// encoding/json reports the first part of a document that does not fit. mismatches finds
// further ones for the client. It runs only after encoding/json has refused a document.
const (
	maxMismatches    = 20
	maxMismatchDepth = 16       // each level parses the text again
	maxMismatchText  = 64 << 10 // larger documents get the first part only: the search costs more than decoding
)

// firstMismatch is the part of a document that encoding/json has reported.
func firstMismatch(text []byte, err error) FieldError {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Type != nil {
		return FieldError{pointerAt(text, wrongType.Offset), expected(wrongType.Type)}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return FieldError{"#", "has a member that is not known: " + httpx.Truncate(name, 128)}
	}
	return FieldError{"#", "does not have the expected form"}
}

// pointerAt returns the JSON Pointer of the part of text, valid JSON, whose first token ends at
// offset or later. The path in encoding/json's error has no indices, but the names of embedded
// structs.
func pointerAt(text []byte, offset int64) string {
	type level struct {
		object bool
		name   string
		tokens int // read in it
	}
	var path []level
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return "#"
		}
		delim, isDelim := token.(json.Delim)
		closes := isDelim && (delim == '}' || delim == ']')
		if n := len(path); n > 0 && !closes {
			l := &path[n-1]
			if !l.object {
				l.name = strconv.Itoa(l.tokens)
			} else if l.tokens%2 == 0 {
				l.name, _ = token.(string)
			}
			l.tokens++
		}
		if d.InputOffset() >= offset {
			break
		}
		switch {
		case closes:
			path = path[:len(path)-1]
		case isDelim:
			path = append(path, level{object: delim == '{'})
		}
	}
	var pointer strings.Builder
	pointer.WriteByte('#')
	for _, l := range path {
		pointer.WriteString("/" + escapePointer(l.name))
	}
	return pointer.String()
}

// mismatches lists the parts of text, valid JSON, that do not fit the type of v, a pointer.
func mismatches(text []byte, v any, unknownFields bool) []FieldError {
	m := &mismatchFinder{unknownFields: unknownFields}
	m.check(text, reflect.TypeOf(v).Elem(), "#", 0)
	return m.found
}

type mismatchFinder struct {
	unknownFields bool
	found         []FieldError
}

func (m *mismatchFinder) add(pointer, format string, args ...any) {
	if len(m.found) < maxMismatches {
		m.found = append(m.found, FieldError{pointer, fmt.Sprintf(format, args...)})
	}
}

func (m *mismatchFinder) check(text json.RawMessage, t reflect.Type, pointer string, depth int) {
	for t.Kind() == reflect.Pointer && !hasOwnJSON(t) {
		t = t.Elem()
	}
	text = bytes.TrimSpace(text)
	if len(m.found) == maxMismatches || string(text) == "null" || json.Unmarshal(text, reflect.New(t).Interface()) == nil && !m.mayHaveUnknown(t, text) {
		return
	}
	first := text[0]
	switch {
	case depth == maxMismatchDepth || hasOwnJSON(t):
		m.add(pointer, "%s", expected(t))
	case first == '{' && t.Kind() == reflect.Struct:
		m.checkStruct(text, t, pointer, depth)
	case first == '{' && t.Kind() == reflect.Map:
		m.checkMap(text, t, pointer, depth)
	case first == '[' && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && !(t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8):
		var items []json.RawMessage
		_ = json.Unmarshal(text, &items) // the text is valid
		for i, item := range items {
			m.check(item, t.Elem(), pointer+"/"+strconv.Itoa(i), depth+1)
		}
	default:
		m.add(pointer, "%s", expected(t))
	}
}

// mayHaveUnknown reports whether a value that encoding/json accepts may contain unknown
// members, which it accepts without a Decoder.
func (m *mismatchFinder) mayHaveUnknown(t reflect.Type, text []byte) bool {
	if m.unknownFields || hasOwnJSON(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
		return bytes.IndexByte(text, '{') >= 0
	}
	return false
}

func (m *mismatchFinder) checkStruct(text json.RawMessage, t reflect.Type, pointer string, depth int) {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(text, &members)
	fields := jsonFields(t)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := pointer + "/" + escapePointer(name)
		field, ok := fields[name]
		if !ok {
			for other, f := range fields {
				if strings.EqualFold(other, name) {
					field, ok = f, true
				}
			}
		}
		switch {
		case !ok && !m.unknownFields:
			m.add(at, "is not known")
		case ok && field.quoted:
			if json.Unmarshal([]byte(`{"x":`+string(members[name])+`}`), reflect.New(reflect.StructOf([]reflect.StructField{{
				Name: "X", Type: field.typ, Tag: `json:"x,string"`,
			}})).Interface()) != nil {
				m.add(at, "%s, written as a string", expected(field.typ))
			}
		case ok:
			m.check(members[name], field.typ, at, depth+1)
		}
	}
}

func (m *mismatchFinder) checkMap(text json.RawMessage, t reflect.Type, pointer string, depth int) {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(text, &members)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := pointer + "/" + escapePointer(name)
		key, _ := json.Marshal(map[string]int{name: 0})
		if json.Unmarshal(key, reflect.New(reflect.MapOf(t.Key(), reflect.TypeFor[int]())).Interface()) != nil {
			m.add(at, "is not a key that is accepted here")
			continue
		}
		m.check(members[name], t.Elem(), at, depth+1)
	}
}

// jsonField is a field of a struct as encoding/json knows it.
type jsonField struct {
	typ    reflect.Type
	quoted bool // the option "string"
}

// jsonFields returns the fields by name. Of embedded structs the shallowest field counts.
func jsonFields(t reflect.Type) map[string]jsonField {
	fields, depths := map[string]jsonField{}, map[string]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		if !f.IsExported() || name == "-" && options == "" || f.Anonymous && name == "" && embedded.Kind() == reflect.Struct {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if depth, taken := depths[name]; taken && depth <= len(f.Index) {
			continue
		}
		depths[name] = len(f.Index)
		fields[name] = jsonField{f.Type, slices.Contains(strings.Split(options, ","), "string")}
	}
	return fields
}

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// hasOwnJSON reports whether a type has a form of its own.
func hasOwnJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshalerType) || p.Implements(textUnmarshalerType)
}

// expected describes the JSON values that a type accepts. It says nothing about the Go type,
// which is not the client's concern.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return `must be a time such as "2026-01-31T15:04:05Z"`
	case t == reflect.TypeFor[json.Number]():
		return "must be a number"
	case hasOwnJSON(t):
		return "is not valid"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("must be a whole number from %d to %d", -1<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return fmt.Sprintf("must be a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.String:
		return "must be a string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "must be a string in base64"
		}
		return "must be an array"
	case reflect.Array:
		return "must be an array"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	}
	return "is not valid"
}

// escapePointer returns a name as a part of a JSON Pointer (RFC 6901, sections 3 and 6).
func escapePointer(name string) string {
	name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return httpx.Truncate(name, 128)
}
