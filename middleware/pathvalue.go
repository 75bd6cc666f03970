package middleware

import (
	"encoding"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// PathValue returns the value of a wildcard of the pattern that an http.ServeMux, or another
// router that calls SetPathValue, has matched, as a T: a string, a bool, an integer or a finite
// float of any size, or a type with UnmarshalText, such as netip.Addr. It corresponds to a route
// constraint of ASP.NET Core ("{id:int}"):
//
//	id, err := middleware.PathValue[int64](r, "id")
//	if err != nil {
//		return err
//	}
//
// The error is to be returned from a [HandlerFunc] or passed to [Fail]. If the value is not a
// T, the answer is 404: there is no such resource. If the pattern has no such wildcard, or T is
// another type, it is a mistake of the application, and the answer is 500.
func PathValue[T any](r *http.Request, name string) (T, error) {
	var v, zero T
	text := r.PathValue(name)
	if text == "" && !hasWildcard(r.Pattern, name) {
		return zero, fmt.Errorf("middleware.PathValue: the pattern %q has no wildcard %q", r.Pattern, name)
	}
	if err := parseText(text, &v); err != nil {
		if err == errNotParsable {
			return zero, fmt.Errorf("middleware.PathValue: %T is not a string, a bool, a number or a type with UnmarshalText", &v)
		}
		return zero, &Problem{Status: http.StatusNotFound, Err: fmt.Errorf("the path value %q: %w", name, err)}
	}
	return v, nil
}

// hasWildcard reports whether a pattern of http.ServeMux has a wildcard.
func hasWildcard(pattern, name string) bool {
	return strings.Contains(pattern, "{"+name+"}") || strings.Contains(pattern, "{"+name+"...}")
}

var errNotParsable = fmt.Errorf("the type can't be parsed")

// parseText sets *v, of one of the types of PathValue.
func parseText(text string, v any) error {
	if u, ok := v.(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	target := reflect.ValueOf(v).Elem()
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		target.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, target.Type().Bits())
		target.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, target.Type().Bits())
		target.SetUint(n)
		return err
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, target.Type().Bits())
		if math.IsNaN(n) || math.IsInf(n, 0) { // JSON has no such values
			return strconv.ErrRange
		}
		target.SetFloat(n)
		return err
	default:
		return errNotParsable
	}
	return nil
}
