package typescript

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

// generator writes one module.
type generator struct {
	hub   *Hub
	names map[reflect.Type]string // of the types that are declared
	used  map[string]bool         // aliases, see aliases
	path  string                  // the place of the described type, for errors
	errs  []error
}

// description is the text of a type. null is apart from it, because an omitted field is not null.
type description struct {
	text     string // without null
	nullable bool
}

func (d description) String() string {
	if d.nullable && d.text != unknown.text {
		return d.text + " | null"
	}
	return d.text
}

// element returns the text in front of the brackets of an array.
func (d description) element() string {
	if s := d.String(); strings.Contains(s, "|") {
		return "(" + s + ")"
	}
	return d.String()
}

var unknown = description{text: "unknown"}

var (
	typeDuration    = reflect.TypeFor[time.Duration]()
	typeTime        = reflect.TypeFor[time.Time]()
	typeNumber      = reflect.TypeFor[json.Number]()
	typeBigInt      = reflect.TypeFor[big.Int]()
	typeRawMessage  = reflect.TypeFor[json.RawMessage]()
	marshalsJSON    = reflect.TypeFor[json.Marshaler]()
	marshalsText    = reflect.TypeFor[encoding.TextMarshaler]()
	describesItself = reflect.TypeFor[describer]()
)

// describer is a type that knows its types in TypeScript.
type describer interface {
	TypeScript() (inJSON, inMessagePack string)
}

// implements reports whether the type or a pointer to it has the methods. Values are decoded through pointers, and encoded
// through them if they are addressable.
func implements(t, methods reflect.Type) bool {
	return t.Implements(methods) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(methods)
}

// text describes a type.
func (g *generator) text(t reflect.Type) description {
	switch {
	case slices.Contains(g.hub.Unknown, t) || t == typeRawMessage:
		return unknown
	case t == typeTime:
		return description{text: g.alias("Time")}
	case t == typeNumber:
		return description{text: "number"}
	case t == typeBigInt:
		return description{text: g.either("number", "number | string")} // a text above 64 bits
	case t == typeDuration: // no protocol encodes it
		g.fail(t)
		return unknown
	case t.Kind() == reflect.Pointer:
		return g.pointer(t)
	case t.Kind() == reflect.Interface:
		return unknown
	case implements(t, describesItself):
		return description{text: g.either(reflect.New(t).Interface().(describer).TypeScript())}
	case implements(t, marshalsJSON):
		return unknown
	case implements(t, marshalsText):
		return description{text: "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return description{text: "boolean"}
	case reflect.String:
		return description{text: "string"}
	case reflect.Int64, reflect.Uint64:
		return description{text: g.alias("Int64")}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uintptr, reflect.Float32, reflect.Float64:
		return description{text: "number"}
	case reflect.Slice, reflect.Map:
		if name := g.names[t]; name != "" {
			return description{name, true}
		}
		return description{g.composite(t), true}
	case reflect.Array:
		if name := g.names[t]; name != "" {
			return description{text: name}
		}
		return description{text: g.composite(t)}
	case reflect.Struct:
		if isTuple(t) && g.hub.MessagePack {
			return unknown // an array in MessagePack only
		}
		if name := g.names[t]; name != "" {
			return description{text: name}
		}
		return description{text: "{ " + strings.Join(g.members(t), " ") + " }"}
	default: // a channel, a function, a complex number or an unsafe pointer
		g.fail(t)
		return unknown
	}
}

func (g *generator) fail(t reflect.Type) {
	g.errs = append(g.errs, fmt.Errorf("%s: a %v cannot be described", g.path, t))
}

// pointer describes a pointer. A type of pointers to itself has only null.
func (g *generator) pointer(t reflect.Type) description {
	var seen []reflect.Type
	for ; t.Kind() == reflect.Pointer; t = t.Elem() {
		if slices.Contains(seen, t) {
			return description{text: "null"}
		}
		seen = append(seen, t)
	}
	return description{g.text(t).text, true}
}

// composite describes a slice, an array or a map by its elements.
func (g *generator) composite(t reflect.Type) string {
	if isBytes(t) {
		return g.alias("Bytes")
	}
	if t.Kind() != reflect.Map {
		elem := g.text(t.Elem())
		if t.Kind() == reflect.Array && t.Len() <= maxTuple {
			return "[" + strings.Join(slices.Repeat([]string{elem.String()}, t.Len()), ", ") + "]"
		}
		return elem.element() + "[]"
	}
	return fmt.Sprintf("Record<%s, %s>", g.key(t.Key()), g.text(t.Elem()))
}

// isTuple reports whether a struct asks package msgpack for an array.
func isTuple(t reflect.Type) bool {
	marker, found := t.FieldByName("_msgpack")
	return found && len(marker.Index) == 1 && marker.Tag.Get("msgpack") == ",as_array"
}

// maxTuple is the length of the longest array that is written as a tuple.
const maxTuple = 8

// isBytes reports whether encoding/json encodes the type as base64.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 &&
		!implements(t.Elem(), marshalsJSON) && !implements(t.Elem(), marshalsText)
}

// key describes the keys of a map. In JavaScript they are texts; a number is converted to one.
func (g *generator) key(t reflect.Type) string {
	switch {
	case implements(t, describesItself):
		inJSON, inMessagePack := reflect.New(t).Interface().(describer).TypeScript()
		if g.hub.MessagePack && !g.hub.JSON && inMessagePack != "string" && inMessagePack != "number" {
			g.fail(t) // the client for JavaScript refuses such keys
		}
		return inJSON
	case t.Kind() == reflect.String || t.Implements(marshalsText):
		return "string"
	case reflect.Int <= t.Kind() && t.Kind() <= reflect.Uintptr:
		return "number"
	}
	g.fail(t)
	return "string"
}

// members describes the fields of a struct.
func (g *generator) members(t reflect.Type) []string {
	var members []string
	for _, f := range g.hub.Fields(t) {
		d := g.text(f.Type)
		if f.Quoted {
			d.text = "string"
		}
		if f.OmitEmpty || f.OmitZero || behindPointer(t, f.Index) {
			members = append(members, property(f.Name)+"?: "+d.text+";")
		} else {
			members = append(members, property(f.Name)+": "+d.String()+";")
		}
	}
	return members
}

// behindPointer reports whether a field is in a struct that is embedded as a pointer. If that is nil, the member is absent.
func behindPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// writeDeclarations writes the types that have names, sorted by them.
func (g *generator) writeDeclarations(b *bytes.Buffer) {
	types := make(map[string]reflect.Type)
	for t, name := range g.names {
		types[name] = t
	}
	var declared bytes.Buffer
	for _, name := range sortedKeys(types) {
		t := types[name]
		g.path = t.String()
		if t.Kind() == reflect.Map { // a Record must not contain itself
			fmt.Fprintf(&declared, "\nexport type %s = { [key: %s]: %s };\n", name, g.key(t.Key()), g.text(t.Elem()))
			continue
		}
		if t.Kind() != reflect.Struct {
			fmt.Fprintf(&declared, "\nexport type %s = %s;\n", name, g.composite(t))
			continue
		}
		fmt.Fprintf(&declared, "\nexport interface %s {\n", name)
		for _, m := range g.members(t) {
			fmt.Fprintf(&declared, "  %s\n", m)
		}
		declared.WriteString("}\n")
	}
	for _, name := range sortedKeys(g.used) {
		doc, text := g.aliasText(name)
		fmt.Fprintf(b, "\n/** %s */\nexport type %s = %s;\n", doc, name, text)
	}
	b.Write(declared.Bytes())
}

func (g *generator) alias(name string) string {
	g.used[name] = true
	return name
}

// aliasText returns the documentation and the text of a type whose form the protocol decides.
func (g *generator) aliasText(name string) (doc, text string) {
	switch name {
	case "Int64":
		return "A 64-bit integer. JavaScript rounds numbers beyond 2^53.", "number"
	case "Bytes":
		return g.eitherProtocol("Bytes", "base64", "string", "Uint8Array")
	default:
		return g.eitherProtocol("A time", "in the form of RFC 3339", "string", "Date")
	}
}

// eitherProtocol describes a value with different forms in JSON and in MessagePack.
func (g *generator) eitherProtocol(subject, form, inJSON, inMessagePack string) (doc, text string) {
	text = g.either(inJSON, inMessagePack)
	switch text {
	case inJSON:
		return subject + ", " + form + ".", text
	case inMessagePack:
		return subject + ".", text
	}
	return fmt.Sprintf("%s: a %s, %s, in JSON, and a %s in MessagePack.", subject, inJSON, form, inMessagePack), text
}

// either returns the type of a value in the protocols of the hub.
func (g *generator) either(inJSON, inMessagePack string) string {
	switch {
	case !g.hub.MessagePack || inJSON == inMessagePack:
		return inJSON
	case !g.hub.JSON || strings.HasPrefix(inMessagePack, inJSON+" | "):
		return inMessagePack
	}
	return inJSON + " | " + inMessagePack
}
