package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
)

var (
	errDuration = errors.New("hub: the value has " + durationHint)
	errMapKey   = errors.New("hub: the value has a map whose keys are neither texts nor integers, nor of a type with MarshalText and UnmarshalText")
)

// refused returns the reason why no value of a type with these facts is encoded or decoded.
func (f typeFacts) refused() error {
	switch {
	case f.duration:
		return errDuration
	case f.key:
		return errMapKey
	}
	return nil
}

// encodeJSON encodes a value with encoding/json. A method of a pointer counts for a value, too: a big.Int is a number.
func encodeJSON(v any) (Raw, error) {
	if v != nil {
		t := reflect.TypeOf(v)
		facts := factsOf(t)
		if err := facts.refused(); err != nil {
			return nil, err
		}
		if facts.address {
			p := reflect.New(t)
			p.Elem().Set(reflect.ValueOf(v))
			v = p.Interface()
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // records are not embedded in HTML, and an escape takes six bytes
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes()[:b.Len()-1], nil // without the newline of Encoder
}

// decodeJSON decodes a value with encoding/json, with two differences: an integer in an any keeps its digits, and an array that
// is too short for its elements is an error.
func decodeJSON(raw Raw, v any) error {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return json.Unmarshal(raw, v) // an error
	}
	facts := factsOf(t.Elem())
	if err := facts.refused(); err != nil {
		return err
	}
	if facts.array {
		c := arrayCheck{json.NewDecoder(bytes.NewReader(raw))}
		if err := c.value(t.Elem()); err != nil {
			return err
		}
	}
	if !facts.any {
		return json.Unmarshal(raw, v)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the value")
	}
	return convertNumbers(reflect.ValueOf(v).Elem())
}

// convertNumbers converts the json.Number in each any of v to an int64, a uint64 or a float64. An integer that is too large for
// them stays a json.Number.
func convertNumbers(v reflect.Value) error {
	if !factsOf(v.Type()).any {
		return nil
	}
	switch v.Kind() {
	case reflect.Interface:
		return convertAny(v)
	case reflect.Pointer:
		if !v.IsNil() {
			return convertNumbers(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := convertNumbers(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			c := reflect.New(e.Type()).Elem() // the elements of a map are not settable
			c.Set(e)
			if err := convertNumbers(c); err != nil {
				return err
			}
			v.SetMapIndex(k, c)
		}
	case reflect.Struct:
		for _, f := range jsonFieldsOf(v.Type()).list {
			field, err := v.FieldByIndexErr(f.Index)
			if err != nil {
				continue // in an embedded pointer that is nil
			}
			if err := convertNumbers(field); err != nil {
				return err
			}
		}
	}
	return nil
}

// convertAny converts the value of an any. encoding/json makes only these types.
func convertAny(v reflect.Value) error {
	if v.IsNil() {
		return nil
	}
	converted, err := anyNumbers(v.Elem().Interface())
	if err == nil {
		v.Set(reflect.ValueOf(converted))
	}
	return err
}

func anyNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return anyNumber(v)
	case []any:
		for i, e := range v {
			if e == nil {
				continue
			}
			if v[i], err = anyNumbers(e); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k, e := range v {
			switch e.(type) {
			case json.Number, []any, map[string]any:
				if v[k], err = anyNumbers(e); err != nil {
					return nil, err
				}
			}
		}
	}
	return v, nil
}

func anyNumber(n json.Number) (any, error) {
	s := string(n)
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("the number %s overflows float64", s[:min(40, len(s))])
		}
		return f, nil
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	return n, nil
}

// arrayCheck compares the lengths of arrays with their Go types: encoding/json drops the elements that do not fit.
type arrayCheck struct{ d *json.Decoder }

// value checks the next value. t is nil for a value that is ignored.
func (c arrayCheck) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && (!factsOf(t).array || hasOwnEncoding(t)) {
		t = nil
	}
	token, err := c.d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		return c.elements(t)
	case json.Delim('{'):
		return c.members(t)
	}
	return nil
}

func (c arrayCheck) elements(t reflect.Type) error {
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Array || t.Kind() == reflect.Slice) {
		elem = t.Elem()
	}
	n := 0
	for ; c.d.More(); n++ {
		if t != nil && t.Kind() == reflect.Array && n == t.Len() {
			return fmt.Errorf("more than %d elements for a %v", n, t)
		}
		if err := c.value(elem); err != nil {
			return err
		}
	}
	_, err := c.d.Token()
	return err
}

func (c arrayCheck) members(t reflect.Type) error {
	var types map[string]reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		types = jsonFieldsOf(t).types
	}
	for c.d.More() {
		key, err := c.d.Token()
		if err != nil {
			return err
		}
		var elem reflect.Type
		switch {
		case types != nil:
			name, _ := key.(string)
			var ok bool
			if elem, ok = types[name]; !ok {
				elem = types[fields.Fold([]byte(name))]
			}
		case t != nil && t.Kind() == reflect.Map:
			elem = t.Elem()
		}
		if err := c.value(elem); err != nil {
			return err
		}
	}
	_, err := c.d.Token()
	return err
}
