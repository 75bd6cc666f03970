package msgpack

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/transcode"
)

// decoder decodes one value whose lengths and nesting skip has checked.
type decoder struct {
	protocol *protocol
	rest     []byte
}

// header reads the header of the next value.
func (d *decoder) header() (mpack.Header, error) {
	h, rest, err := mpack.Read(d.rest)
	d.rest = rest
	return h, err
}

// take returns the n bytes after the header of a text, binary data or an extension.
func (d *decoder) take(n uint64) []byte {
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

// one returns the bytes of the next value.
func (d *decoder) one() ([]byte, error) {
	rest, err := mpack.Skip(d.rest)
	if err != nil {
		return nil, err
	}
	n := len(d.rest) - len(rest)
	p := d.rest[:n:n]
	d.rest = rest
	return p, nil
}

// isNil reads the next value if it is nil.
func (d *decoder) isNil() bool {
	if len(d.rest) == 0 || d.rest[0] != nilCode {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

// nilCode is the encoding of nil.
const nilCode = 0xc0

func mismatch(k mpack.Kind, t reflect.Type) error { return fmt.Errorf("%v for the type %v", k, t) }

// decodeFunc decodes the next value into a variable.
type decodeFunc = func(d *decoder, v reflect.Value) error

// buildDecoder chooses how a type is decoded, in the order of encoding/json. nil leaves variables unchanged, except those that
// can be nil.
func (p *protocol) buildDecoder(b *builder, t reflect.Type, pl *plan) {
	switch t {
	case typeTime:
		pl.decode = keep(decodeTime)
		return
	case typeDuration:
		pl.decode = func(*decoder, reflect.Value) error { return errDuration }
		return
	case typeNumber:
		pl.decode = keep(decodeNumber)
		return
	case typeBigInt:
		pl.decode = keep(decodeBigInt)
		return
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		switch pt := reflect.PointerTo(t); {
		case pt.Implements(typeUnmarshaler):
			pl.decode = decodeUnmarshaler
			return
		case pt.Implements(typeJSONUnmarshaler):
			pl.decode = decodeJSONUnmarshaler
			return
		case pt.Implements(typeTextUnmarshaler):
			pl.decode = keep(decodeTextUnmarshaler)
			return
		}
	}
	p.buildDecoderByKind(b, t, pl)
}

// keep decodes all but nil, which leaves the variable unchanged.
func keep(decode decodeFunc) decodeFunc {
	return func(d *decoder, v reflect.Value) error {
		if d.isNil() {
			return nil
		}
		return decode(d, v)
	}
}

// reset decodes all but nil, which makes the variable nil.
func reset(decode decodeFunc) decodeFunc {
	return func(d *decoder, v reflect.Value) error {
		if d.isNil() {
			v.SetZero()
			return nil
		}
		return decode(d, v)
	}
}

func decodeUnmarshaler(d *decoder, v reflect.Value) error {
	p, err := d.one()
	if err != nil {
		return err
	}
	return v.Addr().Interface().(Unmarshaler).UnmarshalMsgpack(p)
}

func decodeJSONUnmarshaler(d *decoder, v reflect.Value) error {
	p, err := d.one()
	if err != nil {
		return err
	}
	text, err := transcode.ToJSON(nil, p)
	if err != nil {
		return err
	}
	return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text)
}

// text reads a text.
func (d *decoder) text(t reflect.Type) ([]byte, error) {
	h, err := d.header()
	if err != nil {
		return nil, err
	}
	if h.Kind != mpack.String {
		return nil, mismatch(h.Kind, t)
	}
	return d.take(h.N), nil
}

func decodeTextUnmarshaler(d *decoder, v reflect.Value) error {
	text, err := d.text(v.Type())
	if err != nil {
		return err
	}
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(bytes.Clone(text))
}

func decodeTime(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	if h.Kind != mpack.Extension {
		return mismatch(h.Kind, typeTime)
	}
	t, err := mpack.Time(d.take(h.N))
	if err == nil {
		v.Set(reflect.ValueOf(t))
	}
	return err
}

// decodeNumber decodes a json.Number from a number or from the text of one.
func decodeNumber(d *decoder, v reflect.Value) error {
	p, err := d.one()
	if err != nil {
		return err
	}
	text, err := transcode.ToJSON(nil, p)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v.Addr().Interface())
}

// decodeBigInt decodes a big.Int from an integer, or from the text of an integer that has more than 64 bits.
func decodeBigInt(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	i := v.Addr().Interface().(*big.Int)
	switch {
	case h.Kind == mpack.Int && h.Negative:
		i.SetInt64(int64(h.N))
	case h.Kind == mpack.Int:
		i.SetUint64(h.N)
	case h.Kind == mpack.String:
		text := d.take(h.N)
		if len(text) > maxBigInt {
			return errors.New("an integer with too many digits")
		}
		if _, ok := i.SetString(string(text), 10); !ok || text[0] == '+' {
			return fmt.Errorf("%.40q is not an integer", text)
		}
	default:
		return mismatch(h.Kind, typeBigInt)
	}
	return nil
}

// maxBigInt limits the digits of a big.Int: the time to parse them grows faster than their number.
const maxBigInt = 10_000

func (p *protocol) buildDecoderByKind(b *builder, t reflect.Type, pl *plan) {
	switch t.Kind() {
	case reflect.Bool:
		pl.decode = keep(decodeBool)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		pl.decode = keep(decodeInt)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		pl.decode = keep(decodeUint)
	case reflect.Float32, reflect.Float64:
		pl.decode = keep(decodeFloat)
	case reflect.String:
		pl.decode = keep(decodeString)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			pl.decode = reset(func(*decoder, reflect.Value) error { return unsupported(t) })
			return
		}
		pl.decode = reset(decodeInterface)
	case reflect.Pointer:
		pl.decode = reset(decodePointer(b.of(t.Elem()), t.Elem()))
	case reflect.Slice:
		pl.decode = reset(decodeSlice(b, t))
	case reflect.Array:
		pl.decode = keep(decodeArray(b.of(t.Elem()), t))
	case reflect.Map:
		pl.decode = reset(decodeMap(b, t))
	case reflect.Struct:
		pl.decode = keep(p.decodeStruct(b, t))
	default:
		pl.decode = func(*decoder, reflect.Value) error { return unsupported(t) }
	}
}

func decodeBool(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	if h.Kind != mpack.Bool {
		return mismatch(h.Kind, v.Type())
	}
	v.SetBool(h.N == 1)
	return nil
}

func decodeInt(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	if h.Kind != mpack.Int {
		return mismatch(h.Kind, v.Type())
	}
	if !h.Negative && h.N > math.MaxInt64 || v.OverflowInt(int64(h.N)) {
		return overflow(h, v.Type())
	}
	v.SetInt(int64(h.N))
	return nil
}

func decodeUint(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	if h.Kind != mpack.Int {
		return mismatch(h.Kind, v.Type())
	}
	if h.Negative || v.OverflowUint(h.N) {
		return overflow(h, v.Type())
	}
	v.SetUint(h.N)
	return nil
}

func overflow(h mpack.Header, t reflect.Type) error {
	if h.Negative {
		return fmt.Errorf("%d overflows %v", int64(h.N), t)
	}
	return fmt.Errorf("%d overflows %v", h.N, t)
}

// decodeFloat decodes floats of both widths, and integers of 64 bits with a sign.
func decodeFloat(d *decoder, v reflect.Value) error {
	h, err := d.header()
	if err != nil {
		return err
	}
	switch {
	case h.Kind == mpack.Int && !h.Negative && h.N > math.MaxInt64:
		return overflow(h, v.Type())
	case h.Kind == mpack.Int:
		v.SetFloat(float64(int64(h.N)))
		return nil
	case h.Kind != mpack.Float:
		return mismatch(h.Kind, v.Type())
	}
	f := h.Float()
	if v.OverflowFloat(f) && !math.IsInf(f, 0) {
		return fmt.Errorf("%v overflows %v", f, v.Type())
	}
	v.SetFloat(f)
	return nil
}

func decodeString(d *decoder, v reflect.Value) error {
	text, err := d.text(v.Type())
	if err != nil {
		return err
	}
	v.SetString(mpack.ValidText(string(text)))
	return nil
}
