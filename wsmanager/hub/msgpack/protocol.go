package msgpack

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// Options configure the protocol. The zero value is right for most applications.
type Options struct {
	// Tag is the struct tag that names a field without a msgpack tag. With "-" such a field has its Go name. Default: "json".
	Tag string

	// Name returns the name under which a field is sent. It gets the name from Tag, or the Go name. Names from msgpack tags
	// are sent as they are. Received fields may have the name before or after Name, in any case. It must return the same result
	// each time. [PascalCase] is for clients in .NET. Default: names are not changed.
	Name func(string) string
}

// PascalCase returns name with a capital first letter. It is the name that a property has in .NET whose name in JSON is name,
// for example "FirstName" for "firstName".
func PascalCase(name string) string {
	if name == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[n:]
}

// New makes the protocol, for hubs and for clients. It is safe for concurrent use.
func New(opts Options) hub.Protocol {
	p := &protocol{tags: []string{"msgpack", "json"}, name: opts.Name}
	switch opts.Tag {
	case "":
	case "-":
		p.tags = p.tags[:1]
	default:
		p.tags[1] = opts.Tag
	}
	p.encoders.build, p.decoders.build = p.buildEncoder, p.buildDecoder
	return p
}

type protocol struct {
	tags               []string // that name a field; the first counts
	name               func(string) string
	encoders, decoders plans
	structs            sync.Map // *structType without plans, by reflect.Type
	grows              sync.Map // bool by reflect.Type: the results of mayGrow
}

func (*protocol) Name() string                       { return "messagepack" }
func (*protocol) MessageType() wsmanager.MessageType { return wsmanager.BinaryMessage }

// encoders that are not in use.
var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxPooled is the largest buffer that an encoder keeps.
const maxPooled = 64 << 10

// Encode encodes a value. Types without an encoding in JSON have none here. A panic of a type that encodes itself is an error.
func (p *protocol) Encode(v any) (raw hub.Raw, err error) {
	e := encoders.Get().(*encoder)
	e.protocol, e.out, e.depth = p, e.out[:0], 0
	defer func() {
		if r := recover(); r != nil {
			raw, err = nil, fmt.Errorf("encoding a %T: %v", v, r)
			return // e may still be in use
		}
		if cap(e.out) <= maxPooled {
			encoders.Put(e)
		}
	}()
	switch v := v.(type) { // the types for which reflection takes most of the time
	case string:
		e.out = mpack.AppendString(e.out, v)
	case int:
		e.out = mpack.AppendInt(e.out, int64(v))
	default:
		if err := e.value(reflect.ValueOf(v)); err != nil {
			return nil, err
		}
	}
	return bytes.Clone(e.out), nil
}

// Decode decodes a value. A panic of a type that decodes itself is an error.
func (p *protocol) Decode(raw hub.Raw, v any) (err error) {
	if rest, err := skip(raw); err != nil {
		return err
	} else if len(rest) > 0 {
		return errors.New("data after the value")
	}
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("decoding into a %T: a pointer is needed", v)
	}
	if err := p.check(raw, target.Type().Elem()); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding into a %T: %v", v, r)
		}
	}()
	d := decoder{p, raw}
	return p.decoders.of(target.Type().Elem()).decode(&d, target.Elem())
}
