package msgpack

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"sync"
	"time"
)

// plan is how values of one type are encoded or decoded. The plans of types that contain each other refer to each other, so
// the functions are set after the plans exist.
type plan struct {
	encode func(e *encoder, v reflect.Value) error
	decode func(d *decoder, v reflect.Value) error
}

// plans are the plans of a protocol, for one direction.
type plans struct {
	known sync.Map // *plan by reflect.Type
	build func(b *builder, t reflect.Type, p *plan)
}

// of returns the plan of a type.
func (ps *plans) of(t reflect.Type) *plan {
	if p, ok := ps.known.Load(t); ok {
		return p.(*plan)
	}
	b := &builder{plans: ps, made: make(map[reflect.Type]*plan)}
	p := b.of(t)
	for t, p := range b.made { // only complete plans are published
		ps.known.LoadOrStore(t, p)
	}
	return p
}

// builder makes the plan of a type, and of the types in it.
type builder struct {
	plans *plans
	made  map[reflect.Type]*plan
}

func (b *builder) of(t reflect.Type) *plan {
	if p, ok := b.plans.known.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := b.made[t]; ok {
		return p
	}
	p := &plan{}
	b.made[t] = p
	b.plans.build(b, t, p)
	return p
}

// Marshaler is a type that encodes itself as one value of MessagePack.
type Marshaler interface{ MarshalMsgpack() ([]byte, error) }

// Unmarshaler is a type that decodes itself from one value of MessagePack. It must not keep the slice.
type Unmarshaler interface{ UnmarshalMsgpack([]byte) error }

var (
	typeMarshaler       = reflect.TypeFor[Marshaler]()
	typeUnmarshaler     = reflect.TypeFor[Unmarshaler]()
	typeJSONMarshaler   = reflect.TypeFor[json.Marshaler]()
	typeJSONUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	typeTextMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	typeTextUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	typeTime            = reflect.TypeFor[time.Time]()
	typeDuration        = reflect.TypeFor[time.Duration]()
	typeNumber          = reflect.TypeFor[json.Number]()
	typeBigInt          = reflect.TypeFor[big.Int]()
)

// errDuration has the text that package hub has in JSON.
var errDuration = errors.New("the value has a time.Duration, of which clients cannot know that it counts nanoseconds (a TimeSpan of .NET counts 100 ns): use dotnet.TimeSpan, or a number whose name has the unit")

func unsupported(t reflect.Type) error { return fmt.Errorf("the type %v has no encoding", t) }

// isBytes reports whether a slice is binary data, as encoding/json defines it.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && isByte(t.Elem())
}

func isByte(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() == reflect.Uint8 && !p.Implements(typeJSONMarshaler) && !p.Implements(typeTextMarshaler) && !p.Implements(typeMarshaler)
}
