package dotnet

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// Named is an integer type with the names of an enum of .NET:
//
//	type Colour int32
//
//	func (Colour) EnumNames() map[Colour]string { return map[Colour]string{0: "Red", 5: "Green", 6: "Blue"} }
//
// EnumNames is called for each value, so it may return a package variable. It must be safe for concurrent use.
type Named[T comparable] interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
	EnumNames() map[T]string
}

// Enum is a value of an enum of .NET: a number in JSON, and in MessagePack a text with the name. A number without a name is
// possible; its text is the number. Names match exactly. A text may have several names with commas between, which .NET writes
// for flags: their numbers are joined with OR. The key of a map is an [EnumKey].
type Enum[T Named[T]] struct{ Value T }

// String returns the name, or the number if it has none.
func (e Enum[T]) String() string {
	if name, ok := e.Value.EnumNames()[e.Value]; ok {
		return name
	}
	return e.number()
}

func (e Enum[T]) number() string {
	if v := reflect.ValueOf(e.Value); v.CanInt() {
		return strconv.FormatInt(v.Int(), 10)
	}
	return strconv.FormatUint(uint64(e.Value), 10)
}

func (e Enum[T]) wrong(form string, got any) error {
	return wrong(fmt.Sprintf("%T", e.Value), form, got)
}

// setNumber parses a decimal number in the range of T.
func (e *Enum[T]) setNumber(s string) bool {
	v := reflect.ValueOf(&e.Value).Elem()
	if v.CanInt() {
		i, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err == nil {
			v.SetInt(i)
		}
		return err == nil
	}
	u, err := strconv.ParseUint(s, 10, v.Type().Bits())
	if err == nil {
		v.SetUint(u)
	}
	return err == nil
}

// MarshalText returns the text of String.
func (e Enum[T]) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText parses a name, several names with commas between, or a number.
func (e *Enum[T]) UnmarshalText(text []byte) error {
	if c := string(text[:min(1, len(text))]); c != "+" && e.setNumber(string(text)) {
		return nil
	}
	var value T
	for name := range strings.SplitSeq(string(text), ",") {
		one, ok := e.find(strings.TrimSpace(name))
		if !ok {
			return e.wrong("one of its names", string(text))
		}
		value |= one
	}
	e.Value = value
	return nil
}

func (e Enum[T]) find(name string) (T, bool) {
	for value, n := range e.Value.EnumNames() {
		if n == name {
			return value, true
		}
	}
	return 0, false
}

// MarshalJSON returns the number.
func (e Enum[T]) MarshalJSON() ([]byte, error) { return []byte(e.number()), nil }

// UnmarshalJSON parses a number. A text is an error.
func (e *Enum[T]) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	if !e.setNumber(string(p)) {
		return e.wrong("an integer of its range, or the type EnumKey for a key,", string(p))
	}
	return nil
}

// MarshalMsgpack returns the text of String.
func (e Enum[T]) MarshalMsgpack() ([]byte, error) { return mpack.AppendString(nil, e.String()), nil }

// UnmarshalMsgpack reads a text; see UnmarshalText. A number is an error.
func (e *Enum[T]) UnmarshalMsgpack(p []byte) error {
	h, text, err := whole(p, fmt.Sprintf("%T", e.Value), "one of its names", mpack.String, mpack.Nil)
	if err != nil || h.Kind == mpack.Nil {
		return err
	}
	return e.UnmarshalText(text[:h.N])
}
