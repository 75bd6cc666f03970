package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
)

// guid is a Guid of .NET: a type that is a text.
type guid [16]byte

func (g guid) MarshalText() ([]byte, error) {
	h := hex.EncodeToString(g[:])
	return fmt.Appendf(nil, "%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:]), nil
}

func (g *guid) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "-")
	p, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(parts) != 5 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 || len(p) != 16 {
		return fmt.Errorf("%q is not a Guid", text)
	}
	copy(g[:], p)
	return nil
}

// colour is an enum of .NET.
type colour int32

var colourNames = map[colour]string{0: "Red", 5: "Green", 6: "Blue"}

func (colour) EnumNames() map[colour]string { return colourNames }

// order has a field of each type. Clients in .NET with MessagePack need its names in PascalCase.
type order struct {
	ID      guid                  `json:"id" msgpack:"Id"`
	Name    *string               `json:"name" msgpack:"Name"`
	Colour  dotnet.Enum[colour]   `json:"colour" msgpack:"Colour"`
	Created dotnet.DateTime       `json:"created" msgpack:"Created"`
	Due     dotnet.DateTimeOffset `json:"due" msgpack:"Due"`
	Span    dotnet.TimeSpan       `json:"span" msgpack:"Span"`
	Price   dotnet.Decimal        `json:"price" msgpack:"Price"`
	Big     int64                 `json:"big" msgpack:"Big"`
	Data    []byte                `json:"data" msgpack:"Data"`
	Count   *int32                `json:"count" msgpack:"Count"`
	Items   []item                `json:"items" msgpack:"Items"`
	Tags    map[string]int32      `json:"tags" msgpack:"Tags"`
}

type item struct {
	ID   int32   `json:"id" msgpack:"Id"`
	Name *string `json:"name" msgpack:"Name"`
}

// String describes what the hub has understood.
func (o *order) String() string {
	id, _ := o.ID.MarshalText()
	_, offset := o.Due.Zone()
	count := "null"
	if o.Count != nil {
		count = strconv.Itoa(int(*o.Count))
	}
	var items, tags []string
	for _, i := range o.Items {
		items = append(items, fmt.Sprintf("%d=%s", i.ID, text(i.Name)))
	}
	for _, key := range slices.Sorted(maps.Keys(o.Tags)) {
		tags = append(tags, fmt.Sprintf("%s=%d", key, o.Tags[key]))
	}
	return fmt.Sprintf("%s|%s|%d|%d|%d%+d|%d|%v|%d|%X|%s|%s|%s", id, text(o.Name), o.Colour.Value, o.Created.Time().UnixMilli(), o.Due.Unix(), offset/60,
		o.Span.Duration().Milliseconds(), o.Price, o.Big, o.Data, count, strings.Join(items, ","), strings.Join(tags, ","))
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// sampleOrder is the order that clients know.
func sampleOrder(i int) *order {
	first, one := "first", "one"
	price, err := dotnet.ParseDecimal("9.90")
	if err != nil {
		panic(err)
	}
	o := &order{
		Name: &first, Colour: dotnet.Enum[colour]{Value: 5}, Created: dotnet.NewDateTime(time.UnixMilli(1700000000123)),
		Due:  dotnet.DateTimeOffset{Time: time.Date(2023, 11, 14, 22, 13, 20, 0, time.FixedZone("", 2*60*60))},
		Span: dotnet.NewTimeSpan(1500 * time.Millisecond), Price: price, Big: 9007199254740993 + int64(i), Data: []byte{1, 2, 255},
		Items: []item{{1, &one}, {2, nil}}, Tags: map[string]int32{"Key": 1},
	}
	for i := range o.ID {
		o.ID[i] = byte(i * 0x11)
	}
	return o
}

func echo[T any](x T) T { return x }

// typedMethods have a parameter of each type of .NET and return it, or what they have understood.
func typedMethods() hub.Methods {
	return hub.Methods{
		"EchoGuid": echo[guid], "EchoTime": echo[dotnet.DateTime], "EchoOffset": echo[dotnet.DateTimeOffset], "EchoDuration": echo[dotnet.TimeSpan],
		"EchoDate": echo[dotnet.DateOnly], "EchoBytes": echo[[]byte], "EchoBool": echo[bool], "EchoInt": echo[int32], "EchoLong": echo[int64],
		"EchoULong": echo[uint64], "EchoFloat": echo[float32], "EchoDouble": echo[float64], "EchoDecimal": echo[dotnet.Decimal], "EchoString": echo[*string],
		"EchoEnum": echo[dotnet.Enum[colour]], "EchoNullable": echo[*int32], "EchoRecord": echo[*order], "EchoRecords": echo[[]order],
		"EchoMap": echo[map[string]int32], "EchoMapInt": echo[map[int32]string], "EchoMapLong": echo[map[int64]string], "EchoMapGuid": echo[map[guid]int32],
		"EchoMapEnum": echo[map[dotnet.EnumKey[colour]]int32], "EchoNested": echo[[][]int32],

		"GuidText": func(g guid) string {
			text, _ := g.MarshalText()
			return string(text)
		},
		"TimeMillis":    func(t dotnet.DateTime) int64 { return t.Time().UnixMilli() },
		"OffsetMinutes": func(t dotnet.DateTimeOffset) int { _, s := t.Zone(); return s / 60 },
		"Later":         func(t dotnet.DateTime, by dotnet.TimeSpan) dotnet.DateTime { return t.Add(by) },
		"Total": func(price dotnet.Decimal, count int32) (dotnet.Decimal, error) {
			c := price.Coefficient()
			return dotnet.NewDecimal(c.Mul(c, big.NewInt(int64(count))), price.Scale())
		},
		"BytesSum": func(p []byte) (n int) {
			for _, b := range p {
				n += int(b)
			}
			return n
		},
		"EnumNumber": func(c dotnet.Enum[colour]) int32 { return int32(c.Value) },
		"MapSum": func(m map[guid]int32) (n int32) {
			for _, v := range m {
				n += v
			}
			return n
		},
		"RecordText": func(o order) string { return o.String() },
		"SendRecord": func(ctx *hub.Context, o order) error { return ctx.Clients().Caller().Send("record", o) },
		"Records": func(n int) iter.Seq[*order] {
			return func(yield func(*order) bool) {
				for i := range n {
					if !yield(sampleOrder(i)) {
						return
					}
				}
			}
		},
		"SumRecords": sumRecords,
		"AskRecord": func(ctx *hub.Context, o order) (order, error) {
			limited, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			return hub.Invoke[order](limited, ctx.Clients().Caller(), "clientRecord", o)
		},
	}
}

// sumRecords adds the prices. The sum has as many digits after the decimal point as the price with the most.
func sumRecords(orders iter.Seq2[order, error]) (dotnet.Decimal, error) {
	total, scale := new(big.Rat), 0
	for o, err := range orders {
		if err != nil {
			return dotnet.Decimal{}, err
		}
		total.Add(total, o.Price.Rat())
		scale = max(scale, o.Price.Scale())
	}
	shifted := total.Mul(total, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	if !shifted.IsInt() {
		return dotnet.Decimal{}, errors.New("the sum has more digits than the prices")
	}
	return dotnet.NewDecimal(shifted.Num(), scale)
}
