package msgpack

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/transcode"
)

// encoder encodes one value.
type encoder struct {
	protocol *protocol
	out      []byte
	depth    int
}

// value encodes the value of an interface.
func (e *encoder) value(v reflect.Value) error {
	if !v.IsValid() {
		e.out = mpack.AppendNil(e.out)
		return nil
	}
	return e.protocol.encoders.of(v.Type()).encode(e, v)
}

// enter begins an array or a map.
func (e *encoder) enter() error {
	if e.depth++; e.depth > maxDepth {
		return errTooDeep // also a value that contains itself
	}
	return nil
}

// buildEncoder chooses how a type is encoded, in the order of encoding/json.
func (p *protocol) buildEncoder(b *builder, t reflect.Type, pl *plan) {
	switch t {
	case typeTime:
		pl.encode = encodeTime
		return
	case typeDuration:
		pl.encode = func(*encoder, reflect.Value) error { return errDuration }
		return
	case typeNumber:
		pl.encode = encodeNumber
		return
	case typeBigInt:
		pl.encode = encodeBigInt
		return
	case reflect.PointerTo(typeBigInt):
		pl.encode = encodePointer(b.of(typeBigInt), typeBigInt)
		return
	}
	own := ownEncoder(t)
	if own == nil && t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		if addressed := ownEncoder(reflect.PointerTo(t)); addressed != nil {
			// As in encoding/json, methods of the pointer count for values that have an address.
			var plain plan
			p.buildEncoderByKind(b, t, &plain)
			pl.encode = func(e *encoder, v reflect.Value) error {
				if v.CanAddr() {
					return addressed(e, v.Addr())
				}
				return plain.encode(e, v)
			}
			return
		}
	}
	if own != nil {
		pl.encode = own
		return
	}
	p.buildEncoderByKind(b, t, pl)
}

// ownEncoder returns the encoder of a type with methods, or nil.
func ownEncoder(t reflect.Type) func(e *encoder, v reflect.Value) error {
	var encode func(e *encoder, v reflect.Value) error
	switch {
	case t.Kind() == reflect.Interface:
		return nil
	case t.Kind() == reflect.Pointer && t.Elem() == typeTime:
		return nil
	case t.Implements(typeMarshaler):
		encode = encodeMarshaler
	case t.Implements(typeJSONMarshaler):
		encode = encodeJSONMarshaler
	case t.Implements(typeTextMarshaler):
		encode = encodeTextMarshaler
	default:
		return nil
	}
	if t.Kind() != reflect.Pointer {
		return encode
	}
	return func(e *encoder, v reflect.Value) error {
		if v.IsNil() {
			e.out = mpack.AppendNil(e.out)
			return nil
		}
		return encode(e, v)
	}
}

func encodeMarshaler(e *encoder, v reflect.Value) error {
	value, err := v.Interface().(Marshaler).MarshalMsgpack()
	if err != nil {
		return err
	}
	if rest, err := skip(value); err != nil || len(rest) > 0 {
		return fmt.Errorf("MarshalMsgpack of %v did not return one value", v.Type())
	}
	e.out = append(e.out, value...)
	return nil
}

func encodeJSONMarshaler(e *encoder, v reflect.Value) error {
	text, err := v.Interface().(json.Marshaler).MarshalJSON()
	if err != nil {
		return err
	}
	e.out, err = transcode.ToMessagePack(e.out, text)
	return err
}

func encodeTextMarshaler(e *encoder, v reflect.Value) error {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return err
	}
	e.out = mpack.AppendString(e.out, string(text))
	return nil
}

func encodeTime(e *encoder, v reflect.Value) (err error) {
	e.out, err = mpack.AppendTime(e.out, v.Interface().(time.Time))
	return err
}

// encodeNumber encodes a json.Number. The empty one is 0, as in encoding/json.
func encodeNumber(e *encoder, v reflect.Value) error {
	number := v.String()
	if number == "" {
		number = "0"
	}
	if !json.Valid([]byte(number)) || number[0] != '-' && (number[0] < '0' || number[0] > '9') {
		return fmt.Errorf("%q is not a number", number)
	}
	e.out = transcode.AppendNumber(e.out, number)
	return nil
}

func encodeBigInt(e *encoder, v reflect.Value) error {
	i := v.Interface().(big.Int)
	e.out = transcode.AppendNumber(e.out, i.String())
	return nil
}

// encodePointer encodes what a pointer points to. Only pointers to further pointers count for the depth, because they may form
// a cycle without an array or a map.
func encodePointer(elem *plan, t reflect.Type) func(e *encoder, v reflect.Value) error {
	levels := 0
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		levels = 1
	}
	return func(e *encoder, v reflect.Value) error {
		if v.IsNil() {
			e.out = mpack.AppendNil(e.out)
			return nil
		}
		if e.depth += levels; e.depth > maxDepth {
			return errTooDeep
		}
		err := elem.encode(e, v.Elem())
		e.depth -= levels
		return err
	}
}

func (p *protocol) buildEncoderByKind(b *builder, t reflect.Type, pl *plan) {
	switch t.Kind() {
	case reflect.Bool:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendBool(e.out, v.Bool())
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendInt(e.out, v.Int())
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendUint(e.out, v.Uint())
			return nil
		}
	case reflect.Float32:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendFloat32(e.out, float32(v.Float()))
			return nil
		}
	case reflect.Float64:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendFloat64(e.out, v.Float())
			return nil
		}
	case reflect.String:
		pl.encode = func(e *encoder, v reflect.Value) error {
			e.out = mpack.AppendString(e.out, v.String())
			return nil
		}
	case reflect.Interface:
		pl.encode = func(e *encoder, v reflect.Value) error { return e.value(v.Elem()) }
	case reflect.Pointer:
		pl.encode = encodePointer(b.of(t.Elem()), t.Elem())
	case reflect.Slice:
		pl.encode = encodeSlice(b, t)
	case reflect.Array:
		pl.encode = encodeElements(b.of(t.Elem()))
	case reflect.Map:
		pl.encode = encodeMap(b, t)
	case reflect.Struct:
		pl.encode = p.encodeStruct(b, t)
	default:
		pl.encode = func(*encoder, reflect.Value) error { return unsupported(t) }
	}
}

func encodeSlice(b *builder, t reflect.Type) func(e *encoder, v reflect.Value) error {
	encode := func(e *encoder, v reflect.Value) error {
		e.out = mpack.AppendBinary(e.out, v.Bytes())
		return nil
	}
	if !isBytes(t) {
		encode = encodeElements(b.of(t.Elem()))
	}
	return func(e *encoder, v reflect.Value) error {
		if v.IsNil() {
			e.out = mpack.AppendNil(e.out)
			return nil
		}
		return encode(e, v)
	}
}

func encodeElements(elem *plan) func(e *encoder, v reflect.Value) error {
	return func(e *encoder, v reflect.Value) error {
		if err := e.enter(); err != nil {
			return err
		}
		e.out = mpack.AppendArray(e.out, v.Len())
		for i := range v.Len() {
			if err := elem.encode(e, v.Index(i)); err != nil {
				return err
			}
		}
		e.depth--
		return nil
	}
}
