package hub

import (
	"reflect"
	"slices"
	"strconv"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/jsonscan"
)

// The functions of this file do what encoding/json would do, for records and values that clients usually send, at a fraction
// of its cost. All others are left to it: then ok is false.

// maxScannedArguments is the highest number of arguments of an invocation that scanRecord parses.
const maxScannedArguments = 8

// scannedRecord has the members of a record. Each is nil if it is missing.
type scannedRecord struct {
	typ, id, target, item, result []byte

	arguments  [maxScannedArguments][]byte
	nArguments int // -1: the member is missing
}

// scanRecord parses an Invocation, a StreamItem, a Completion without an error, or a Ping.
func scanRecord(record []byte) (m Message, ok bool) {
	r := scannedRecord{nArguments: -1}
	if !r.scan(record) || len(r.typ) != 1 {
		return nil, false
	}
	switch k := Kind(r.typ[0] - '0'); {
	case k == KindPing:
		return &Ping{}, true
	case (k == KindInvocation || k == KindStreamInvocation && len(r.id) > 0) && len(r.target) > 0 && r.nArguments >= 0:
		return r.invocation(k), true
	case k == KindStreamItem && len(r.id) > 0 && r.item != nil:
		return &StreamItem{ID: string(r.id), Item: slices.Clone(Raw(r.item))}, true
	case k == KindCompletion && len(r.id) > 0:
		return &Completion{ID: string(r.id), Result: slices.Clone(Raw(r.result))}, true
	}
	return nil, false
}

// scan finds the members. It fails if there are members of other names or several of one name, and if the id or the target is
// not a plain text.
func (r *scannedRecord) scan(record []byte) bool {
	s := jsonscan.New(record)
	for s.Next() {
		var again bool
		switch string(s.Name()) {
		case "type":
			again, r.typ = r.typ != nil, s.Value()
		case "invocationId":
			again, r.id = r.id != nil, s.Plain()
		case "target":
			again, r.target = r.target != nil, s.Plain()
		case "arguments":
			again, r.nArguments = r.nArguments >= 0, s.Elements(r.arguments[:])
		case "item":
			again, r.item = r.item != nil, s.Value()
		case "result":
			again, r.result = r.result != nil, s.Value()
		default:
			return false
		}
		if again {
			return false
		}
	}
	return s.Valid()
}

// invocation copies an invocation. Its texts and its arguments are in memory of their own, because the arguments are freed
// earlier. White space between arguments is not copied: clients choose its length, and it does not count as memory.
func (r *scannedRecord) invocation(k Kind) *Invocation {
	var buf [128]byte
	texts := string(append(append(buf[:0], r.id...), r.target...))
	inv := &struct {
		Invocation
		first [2]Raw // the array of Arguments, if they fit
	}{Invocation: Invocation{ID: texts[:len(r.id)], Target: texts[len(r.id):], Stream: k == KindStreamInvocation}}
	found := r.arguments[:r.nArguments]
	inv.Arguments = inv.first[:0:len(inv.first)]
	if len(found) > len(inv.first) {
		inv.Arguments = make([]Raw, 0, len(found))
	}
	size := 0
	for _, value := range found {
		size += len(value)
	}
	values := make([]byte, 0, size)
	for _, value := range found {
		start := len(values)
		values = append(values, value...)
		inv.Arguments = append(inv.Arguments, values[start:len(values):len(values)])
	}
	return &inv.Invocation
}

var typeString = reflect.TypeFor[string]()

// decodePlain decodes a text without escapes into a string, and an integer or a boolean into a scalar.
func (p *param) decodePlain(raw Raw, t reflect.Type) (v reflect.Value, ok bool) {
	if t == typeString {
		text, end, ok := jsonscan.Plain(raw, 0)
		if !ok || end != len(raw) {
			return v, false
		}
		s := string(text)
		return reflect.ValueOf(&s).Elem(), true
	}
	if !p.scalar || t.PkgPath() != "" {
		return v, false
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := plainInteger(raw)
		v = reflect.New(t).Elem()
		if !ok || v.OverflowInt(n) {
			return v, false
		}
		v.SetInt(n)
		return v, true
	case reflect.Bool:
		truth := string(raw) == "true"
		return reflect.ValueOf(truth), truth || string(raw) == "false"
	}
	return v, false
}

// plainInteger parses an integer of at most 18 digits.
func plainInteger(raw Raw) (n int64, ok bool) {
	digits := raw
	if len(raw) > 0 && raw[0] == '-' {
		digits = raw[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if len(digits) < len(raw) {
		n = -n
	}
	return n, true
}

// appendPlainCompletion appends the record of a Completion whose result is a text that needs no escapes, an integer or a
// boolean.
func appendPlainCompletion(id string, result any) (record []byte, ok bool) {
	switch v := result.(type) {
	case string:
		if jsonscan.Run(v) < len(v) { // a text that needs escapes; in records none are needed for HTML
			return nil, false
		}
		record = appendCompletionStart(id, len(v)+2)
		record = append(append(append(record, '"'), v...), '"')
	case int:
		record = strconv.AppendInt(appendCompletionStart(id, maxIntegerSize), int64(v), 10)
	case int64:
		record = strconv.AppendInt(appendCompletionStart(id, maxIntegerSize), v, 10)
	case bool:
		record = strconv.AppendBool(appendCompletionStart(id, maxIntegerSize), v)
	default:
		return nil, false
	}
	return append(record, '}', separator), true
}

const maxIntegerSize = len("-9223372036854775808")

// appendCompletionStart makes the part of a Completion before its result, with room for a result of the size.
func appendCompletionStart(id string, size int) []byte {
	const members = len(`{"type":3,"invocationId":"","result":}`) + 1
	record := append(make([]byte, 0, members+len(id)+size), `{"type":3`...)
	return append(appendMember(record, "invocationId", id), `,"result":`...)
}
