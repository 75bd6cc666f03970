package hub

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Declaration is an [Event] or a [ClientMethod], with any number of arguments, for Options.Events.
type Declaration interface {
	// Name returns the name of the event or method.
	Name() string

	signature() signature
}

// signature has the types of a declaration.
type signature struct {
	params []reflect.Type
	result reflect.Type // nil: an event
}

func (e Event0) signature() signature { return signature{} }

func (e Event[T]) signature() signature {
	return signature{params: []reflect.Type{reflect.TypeFor[T]()}}
}

func (e Event2[T1, T2]) signature() signature {
	return signature{params: []reflect.Type{reflect.TypeFor[T1](), reflect.TypeFor[T2]()}}
}

func (e Event3[T1, T2, T3]) signature() signature {
	return signature{params: []reflect.Type{reflect.TypeFor[T1](), reflect.TypeFor[T2](), reflect.TypeFor[T3]()}}
}

func (m ClientMethod0[R]) signature() signature {
	return signature{result: reflect.TypeFor[R]()}
}

func (m ClientMethod[T, R]) signature() signature {
	return signature{[]reflect.Type{reflect.TypeFor[T]()}, reflect.TypeFor[R]()}
}

func (m ClientMethod2[T1, T2, R]) signature() signature {
	return signature{[]reflect.Type{reflect.TypeFor[T1](), reflect.TypeFor[T2]()}, reflect.TypeFor[R]()}
}

func (m ClientMethod3[T1, T2, T3, R]) signature() signature {
	return signature{[]reflect.Type{reflect.TypeFor[T1](), reflect.TypeFor[T2](), reflect.TypeFor[T3]()}, reflect.TypeFor[R]()}
}

// checkDeclarations returns all mistakes in Options.Events.
func checkDeclarations(declared []Declaration) error {
	var errs []error
	add := func(i int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("hub: Options.Events[%d]"+format, append([]any{i}, args...)...))
	}
	names := make(map[string]string) // by lower-case name
	for i, d := range declared {
		if d == nil || reflect.ValueOf(d).Kind() == reflect.Pointer {
			add(i, " is a %T: use an Event or a ClientMethod", d)
			continue
		}
		lower := strings.ToLower(d.Name())
		switch other, found := names[lower]; {
		case lower == "":
			add(i, " has no name")
		case found && other == d.Name():
			add(i, ": %q is declared twice", other)
		case found:
			add(i, ": %q and %q only differ in case: clients in JavaScript cannot tell them apart", other, d.Name())
		}
		names[lower] = d.Name()
		s := d.signature()
		for n, t := range s.params {
			switch {
			case !encodable(t):
				add(i, ": argument %d of %q is a %v, which cannot be encoded", n+1, d.Name(), t)
			case factsOf(t).duration:
				add(i, ": argument %d of %q is a %v, which has %s", n+1, d.Name(), t, durationHint)
			}
		}
		if s.result != nil && (!encodable(s.result) || s.result.Kind() == reflect.Interface && s.result.NumMethod() > 0) {
			add(i, ": the result of %q is a %v, which cannot be decoded", d.Name(), s.result)
		} else if s.result != nil && factsOf(s.result).duration {
			add(i, ": the result of %q is a %v, which has %s", d.Name(), s.result, durationHint)
		}
	}
	return errors.Join(errs...)
}
