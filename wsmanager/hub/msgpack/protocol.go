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

// Options configure the protocol. The zero value is what most want.
type Options struct {
	// Tag is the struct tag that names a field which has no tag msgpack. Default:
	// "json". "-" is none: then a field is named as in Go, as .NET clients without
	// attributes expect.
	Tag string
}

// New makes the protocol. It is safe for concurrent use, and the same for hubs and for
// clients.
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
	// The library panics on what it has not foreseen, as a nil pointer that encodes
	// itself.
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
		return errors.New("there is something behind the value")
	}
	target := reflect.TypeOf(v)
	if target == nil || target.Kind() != reflect.Pointer {
		return fmt.Errorf("decoding into a %T: a pointer is needed", v)
	}
	if _, err := p.fits(raw, target.Elem()); err != nil {
		return err
	}
	// It panics on maps whose keys, in an any, are maps or lists, for one.
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
	widen(reflect.ValueOf(v))
	return nil
}
