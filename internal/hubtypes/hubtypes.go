// Package hubtypes lists the Go types that hub methods may have, with a value of each and what a JavaScript client gets for it.
// Tests of the protocols, of hub.TypeScript and of the real JavaScript client use the same list, so that they agree. Only tests
// import it.
package hubtypes

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
)

// Row is a Go type.
type Row struct {
	Name  string // for readers
	Value any    // of the type

	// JSON and MessagePack are the types in TypeScript in these protocols.
	JSON, MessagePack string

	// OnlyOneWay says why a JavaScript client cannot get Value and send it back, or "".
	OnlyOneWay string

	// NoJavaScript is set if the JavaScript client cannot read Value in MessagePack.
	NoJavaScript bool
}

// Point is a struct.
type Point struct {
	X    int    `json:"x"`
	Name string `json:"name,omitempty"`
	Next *Point `json:"next"`
}

// Colour is an enum of .NET.
type Colour int32

// EnumNames implements dotnet.Named.
func (Colour) EnumNames() map[Colour]string { return map[Colour]string{0: "Red", 5: "Green"} }

// Fraction has its own JSON.
type Fraction struct{ Over, Under int }

// MarshalJSON returns an array.
func (f Fraction) MarshalJSON() ([]byte, error) { return json.Marshal([2]int{f.Over, f.Under}) }

// UnmarshalJSON parses an array.
func (f *Fraction) UnmarshalJSON(p []byte) error {
	var pair [2]int
	err := json.Unmarshal(p, &pair)
	f.Over, f.Under = pair[0], pair[1]
	return err
}

// TypeScript returns the types in JavaScript.
func (Fraction) TypeScript() (inJSON, inMessagePack string) {
	return "[number, number]", "[number, number]"
}

const digits = "JavaScript's numbers have 53 bits"

// Rows returns all types.
func Rows() []Row {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	price, err := dotnet.ParseDecimal("9.75")
	if err != nil {
		panic(err)
	}
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	one, addr := 1, netip.MustParseAddr("10.1.2.3")
	same := func(name string, value any, typ string) Row {
		return Row{Name: name, Value: value, JSON: typ, MessagePack: typ}
	}
	oneWay := func(r Row, why string) Row { r.OnlyOneWay = why; return r }
	return []Row{
		same("bool", true, "boolean"),
		same("int, int8 … int64", -5, "number"),
		same("uint, uint8 … uint64", uint(200), "number"),
		oneWay(same("int64 above 2^53", int64(9007199254740993), "number"), digits),
		oneWay(same("uint64 above 2^63", uint64(math.MaxUint64), "number"), digits),
		same("float32", float32(0.1), "number"),
		same("float64", 0.1, "number"),
		same("string", "é", "string"),
		{Name: "[]byte", Value: []byte{1, 2, 255}, JSON: "string", MessagePack: "Uint8Array"},
		same("[]T", []int{1, 2}, "number[] | null"),
		same("[2]T", [2]int{1, 2}, "[number, number]"),
		same("*T", &one, "number | null"),
		same("struct", Point{X: 1, Next: &Point{X: 2, Name: "b"}}, "Point"),
		same("map[string]T", map[string]int{"a": 1}, "Record<string, number> | null"),
		same("map[int]T", map[int]int{-5: 2, 1: 1}, "Record<number, number> | null"),
		same("map[K]T, K is a text", map[netip.Addr]int{addr: 1}, "Record<string, number> | null"),
		same("map[time.Time]T", map[time.Time]int{when: 1}, "Record<string, number> | null"),
		{Name: "time.Time", Value: when, JSON: "string", MessagePack: "Date"},
		same("a type with MarshalText", addr, "string"),
		same("a type with MarshalJSON", Fraction{1, 2}, "[number, number]"),
		same("json.RawMessage", json.RawMessage(`{"b":1,"a":[1.5,null]}`), "unknown"),
		same("hub.Raw", hub.Raw(`{"b":1,"a":[1.5,null]}`), "unknown"),
		same("json.Number", json.Number("1.5"), "number"),
		same("*big.Int", big.NewInt(5), "number | null"),
		oneWay(Row{Name: "*big.Int above 64 bits", Value: huge, JSON: "number | null", MessagePack: "string | null"}, digits),
		same("any", map[string]any{"n": int64(1), "f": 1.5, "l": []any{true, nil, "x"}}, "unknown"),
		{Name: "dotnet.TimeSpan", Value: dotnet.NewTimeSpan(time.Second), JSON: "string", MessagePack: "number"},
		{Name: "dotnet.DateTime", Value: dotnet.NewDateTime(when), JSON: "string", MessagePack: "Date"},
		{Name: "dotnet.DateTimeOffset", Value: dotnet.DateTimeOffset{Time: when.In(time.FixedZone("", 7200))}, JSON: "string", MessagePack: "[Date, number]"},
		{Name: "dotnet.DateOnly", Value: dotnet.NewDateOnly(when), JSON: "string", MessagePack: "number"},
		{Name: "dotnet.TimeOnly", Value: dotnet.NewTimeOnly(time.Hour), JSON: "string", MessagePack: "number"},
		{Name: "dotnet.Decimal", Value: price, JSON: "number", MessagePack: "string"},
		{Name: "dotnet.Enum", Value: dotnet.Enum[Colour]{Value: 5}, JSON: "number", MessagePack: "string"},
		same("map[dotnet.EnumKey]T", map[dotnet.EnumKey[Colour]]int{{Value: 5}: 1}, "Record<string, number> | null"),
		{Name: "map[dotnet.BoolKey]T", Value: map[dotnet.BoolKey]int{true: 1}, JSON: "Record<string, number> | null", MessagePack: "not readable", NoJavaScript: true},
		{Name: "map[dotnet.DateTime]T", Value: map[dotnet.DateTime]int{dotnet.NewDateTime(when): 1}, JSON: "Record<string, number> | null", MessagePack: "not readable", NoJavaScript: true},
	}
}

// Type returns the Go type.
func (r Row) Type() reflect.Type {
	if r.Name == "any" {
		return reflect.TypeFor[any]()
	}
	return reflect.TypeOf(r.Value)
}

// Method returns the name of the method for row i that a test registers, with a prefix.
func Method(prefix string, i int) string { return fmt.Sprintf("%s%d", prefix, i) }
