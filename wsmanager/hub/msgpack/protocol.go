package msgpack

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Options configure the protocol. The zero value is right for most applications.
type Options struct {
	// Tag is the struct tag that names a field without a msgpack tag. With "-" such a field has its Go name, as .NET clients
	// without attributes expect. Default: "json".
	Tag string
}

// New makes the protocol, for hubs and for clients. It is safe for concurrent use.
func New(opts Options) hub.Protocol {
	p := &protocol{tag: opts.Tag}
	switch p.tag {
	case "":
		p.tag = "json"
	case "-":
		p.tag = ""
	}
	return p
}

type protocol struct {
	tag string
}

func (*protocol) Name() string                       { return "messagepack" }
func (*protocol) MessageType() wsmanager.MessageType { return wsmanager.BinaryMessage }

func (p *protocol) Encode(v any) (raw hub.Raw, err error) {
	// The library panics on some values, for example on a nil pointer with a custom encoder.
	defer func() {
		if r := recover(); r != nil {
			raw, err = nil, fmt.Errorf("encoding a %T: %v", v, r)
		}
	}()
	var b bytes.Buffer
	e := msgpack.GetEncoder()
	e.Reset(&b)
	e.SetCustomStructTag(p.tag)
	e.UseCompactInts(true)
	e.SetSortMapKeys(true)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	msgpack.PutEncoder(e)
	return b.Bytes(), nil
}

func (p *protocol) Decode(raw hub.Raw, v any) (err error) {
	if rest, err := skip(raw); err != nil {
		return err
	} else if len(rest) > 0 {
		return errors.New("data after the value")
	}
	target := reflect.TypeOf(v)
	if target == nil || target.Kind() != reflect.Pointer {
		return fmt.Errorf("decoding into a %T: a pointer is needed", v)
	}
	if p.checkedSize(raw, target.Elem()) > decodedLimit(raw) {
		return hub.ErrValueTooLarge
	}
	c := check{tag: p.tag}
	if _, err := c.checkIntegerRange(raw, target.Elem()); err != nil {
		return err
	}
	// The library panics on some data, for example on a map in an any whose keys are maps or arrays.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding into a %T: %v", v, r)
		}
	}()
	d := msgpack.GetDecoder()
	d.Reset(bytes.NewReader(raw))
	d.SetCustomStructTag(p.tag)
	if err := d.Decode(v); err != nil {
		return err
	}
	msgpack.PutDecoder(d)
	normalizeNumbers(reflect.ValueOf(v))
	return nil
}
