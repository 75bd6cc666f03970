package hub

import (
	"fmt"
	"io"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/typescript"
)

// fieldsProtocol is a Protocol with field names of its own: that of package msgpack.
type fieldsProtocol interface {
	Fields(t reflect.Type) []fields.Field
}

// TypeScript writes a module in TypeScript with the methods of a hub, its Options.Events and the Go types in them. Its
// function typed gives these types to a connection of the npm package @microsoft/signalr, so that the compiler checks names,
// arguments and results:
//
//	const hub = typed(new HubConnectionBuilder().withUrl("/hub").build());
//	hub.on("said", (remark) => show(remark.text));
//	const sum: number = await hub.invoke("Add", 40, 2);
//
// Structs are interfaces with the members that encoding/json writes; if MessagePack is the only protocol of the hub, with
// those of MessagePack. Members with omitempty or omitzero are optional.
// Pointers, slices and maps may be null. Types with MarshalText are strings. An interface, a json.RawMessage, a Raw and a
// type with MarshalJSON are unknown; such a type can have a method TypeScript() (inJSON, inMessagePack string) that returns its
// types. int64 and uint64 are numbers. A []byte and a time.Time have the type of the hub's protocol, or of both.
//
// The same hub has the same output. An error lists all types that cannot be described.
func TypeScript(w io.Writer, h *Hub) error {
	d := typescript.Hub{
		Unknown: []reflect.Type{reflect.TypeFor[Raw]()},
		Fields:  func(t reflect.Type) []fields.Field { return jsonFieldsOf(t).list },
	}
	for _, p := range h.opts.Protocols {
		d.JSON = d.JSON || p.Name() == "json"
		d.MessagePack = d.MessagePack || p.Name() == "messagepack"
		if own, ok := p.(fieldsProtocol); ok && len(h.opts.Protocols) == 1 {
			d.Fields = own.Fields
		}
	}
	for _, m := range h.methods.sorted() {
		f := typescript.Func{Name: m.name}
		for _, p := range m.params {
			if p.stream != noStream {
				f.Params = append(f.Params, typescript.Param{Type: p.item, Stream: true})
			} else {
				f.Params = append(f.Params, typescript.Param{Type: p.typ})
			}
		}
		switch m.result {
		case noResult:
			d.Methods = append(d.Methods, f)
		case oneResult:
			f.Result = m.fn.Type().Out(0)
			d.Methods = append(d.Methods, f)
		case streamResult:
			_, f.Result = streamOf(m.fn.Type().Out(0))
			d.Streams = append(d.Streams, f)
		}
	}
	for _, e := range h.opts.Events {
		s := e.signature()
		f := typescript.Func{Name: e.Name(), Result: s.result}
		for _, t := range s.params {
			f.Params = append(f.Params, typescript.Param{Type: t})
		}
		if s.result == nil {
			d.Events = append(d.Events, f)
		} else {
			d.ClientMethods = append(d.ClientMethods, f)
		}
	}
	if err := d.Write(w); err != nil {
		return fmt.Errorf("hub: TypeScript: %w", err)
	}
	return nil
}
