package hubtest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Event is a call of a method of the client that has no handler.
type Event struct {
	Method string

	args     [][]byte
	protocol hub.Protocol
}

// Len returns the number of arguments.
func (e Event) Len() int { return len(e.args) }

// Decode decodes the arguments into the variables that the pointers point to. There must be one for each argument.
func (e Event) Decode(pointers ...any) error {
	if len(pointers) != len(e.args) {
		return fmt.Errorf("the event %q has %d arguments, not %d", e.Method, len(e.args), len(pointers))
	}
	for i, p := range pointers {
		if err := e.protocol.Decode(e.args[i], p); err != nil {
			return fmt.Errorf("argument %d of the event %q: %w", i+1, e.Method, err)
		}
	}
	return nil
}

// String returns the method and the arguments, for the texts of failures.
func (e Event) String() string {
	args := make([]string, len(e.args))
	for i, raw := range e.args {
		var v any
		if err := e.protocol.Decode(raw, &v); err != nil {
			v = err
		}
		args[i] = fmt.Sprintf("%#v", v)
	}
	return e.Method + "(" + strings.Join(args, ", ") + ")"
}

// differs describes how an event differs from the expected one. Arguments are decoded into the types of the expected ones.
func (e Event) differs(method string, args []any) string {
	if e.Method != method || len(e.args) != len(args) {
		return "another event"
	}
	for i, want := range args {
		got := reflect.New(reflect.TypeFor[any]())
		if want != nil {
			got = reflect.New(reflect.TypeOf(want))
		}
		if err := e.protocol.Decode(e.args[i], got.Interface()); err != nil {
			return fmt.Sprintf("argument %d: %v", i+1, err)
		}
		if !reflect.DeepEqual(got.Elem().Interface(), want) {
			return fmt.Sprintf("argument %d is %#v", i+1, got.Elem().Interface())
		}
	}
	return ""
}

// anyMethod is the handler of all methods that have none of their own. Its name is no method of an application.
const anyMethod = "\x00any"

// call is a call of the hub, as the handler anyMethod gets it.
type call struct {
	Method      string
	WantsResult bool
	Arguments   [][]byte // in the encoding of the protocol
}

// catchAll passes all calls that have no handler of their own to the handler anyMethod.
type catchAll struct {
	hub.Protocol

	mu      sync.Mutex
	handled map[string]int // handlers by lower-case name
}

// Parse implements hub.Protocol.
func (p *catchAll) Parse(record []byte) (hub.Message, error) {
	m, err := p.Protocol.Parse(record)
	inv, ok := m.(*hub.Invocation)
	if err != nil || !ok || p.has(inv.Target) {
		return m, err
	}
	c := call{Method: inv.Target, WantsResult: inv.ID != ""}
	for _, a := range inv.Arguments {
		c.Arguments = append(c.Arguments, a)
	}
	packed, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return &hub.Invocation{ID: inv.ID, Target: anyMethod, Arguments: []hub.Raw{packed}}, nil
}

// Decode implements hub.Protocol.
func (p *catchAll) Decode(raw hub.Raw, v any) error {
	if c, ok := v.(*call); ok {
		return json.Unmarshal(raw, c)
	}
	return p.Protocol.Decode(raw, v)
}

func (p *catchAll) has(method string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handled[strings.ToLower(method)] > 0
}

func (p *catchAll) add(method string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handled[strings.ToLower(method)] += n
}
