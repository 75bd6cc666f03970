package hub

import (
	"fmt"
	"reflect"
)

// decodeResult decodes the result of a call into the variable that result points to. raw is nil if the other side has sent
// none. Neither that nor null is a value of a scalar type; of the other types both are the zero value.
func decodeResult(p Protocol, raw Raw, result any) error {
	v := reflect.ValueOf(result)
	t := v.Type().Elem()
	switch {
	case !scalar(t) && raw == nil:
		return nil
	case !scalar(t):
		return p.Decode(raw, result)
	case raw == nil:
		return fmt.Errorf("no result for type %v", t)
	}
	ptr := reflect.New(v.Type()) // a null makes it nil; it would leave the variable unchanged
	ptr.Elem().Set(v)
	if err := p.Decode(raw, ptr.Interface()); err != nil {
		return err
	}
	if ptr.Elem().IsNil() {
		return fmt.Errorf("null for type %v", t)
	}
	return nil
}
