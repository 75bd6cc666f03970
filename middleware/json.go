package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// maxJSONBody is the default of JSONOptions.MaxBytes.
const maxJSONBody = 1 << 20

// JSONOptions configure [ReadJSONWith]. The zero value is the behaviour of [ReadJSON].
type JSONOptions struct {
	// MaxBytes is the maximum size of the body, in bytes. Default: 1 MiB. A smaller limit
	// of [BodyLimit] applies too.
	MaxBytes int64

	// UnknownFields ignores members that the type does not have. Default: they are errors.
	UnknownFields bool
}

// Validator is implemented by types whose values may be wrong although their JSON is
// accepted, for example by a number that has to be positive. [ReadJSON] calls Validate after
// decoding, for the type itself, and not for the types of its fields.
type Validator interface {
	// Validate returns the mistakes, or nothing.
	Validate() []FieldError
}

// FieldError is a part of a JSON document that is wrong.
type FieldError struct {
	// Pointer names the part: a JSON Pointer as the fragment of a URI, such as "#/items/3/name"
	// (RFC 6901, section 6). "#" is the whole document.
	Pointer string `json:"pointer"`

	// Detail describes the mistake: "must be a string". It is sent to the client.
	Detail string `json:"detail"`
}

// ReadJSON decodes the body of a request, one JSON value, into a T:
//
//	mux.Handle("POST /orders", middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
//		order, err := middleware.ReadJSON[Order](w, r)
//		if err != nil {
//			return err
//		}
//		...
//		return middleware.WriteJSON(w, http.StatusCreated, order)
//	}))
//
// The error is to be returned from the [HandlerFunc] or passed to [Fail]. The answer is then
//
//   - 415 if the Content-Type is not application/json or a type ending with +json, in UTF-8:
//     a page of another site can send any other type without asking (CORS);
//   - 413 if the body is larger than 1 MiB, or than the limit of a [BodyLimit] above;
//   - 400 if the body is empty, is not valid JSON, or has more than one value; the detail
//     says where;
//   - 400 if the value does not fit T, or T is a [Validator] that finds mistakes. The member
//     "errors" of the problem lists them, at most 20: [FieldError]s as in the example of RFC
//     9457, section 3;
//   - otherwise what [Recover] answers to an error of the body, such as 499 for a client that
//     left.
//
// Decoding follows encoding/json, except that unknown members of objects are errors. The body
// is read as a whole. w is the handler's own.
func ReadJSON[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	return ReadJSONWith[T](w, r, JSONOptions{})
}

// ReadJSONWith is [ReadJSON] with options.
func ReadJSONWith[T any](w http.ResponseWriter, r *http.Request, opts JSONOptions) (T, error) {
	var v, zero T
	if err := checkJSONType(r.Header.Get("Content-Type")); err != nil {
		return zero, err
	}
	limit := opts.MaxBytes
	if limit <= 0 {
		limit = maxJSONBody
	}
	text, err := io.ReadAll(http.MaxBytesReader(httpx.Innermost(w), r.Body, limit))
	if err != nil {
		return zero, fmt.Errorf("reading a JSON body: %w", err)
	}
	if err := decodeJSON(text, &v, opts.UnknownFields); err != nil {
		return zero, err
	}
	validator, ok := any(v).(Validator)
	if !ok {
		validator, ok = any(&v).(Validator)
	}
	if ok {
		if wrong := validator.Validate(); len(wrong) > 0 {
			return zero, invalidJSON(wrong, nil)
		}
	}
	return v, nil
}

// WriteJSON answers with v as JSON, encoded by encoding/json. The error is to be returned from
// a [HandlerFunc]: if v can't be encoded, nothing has been written, and the answer is a 500;
// otherwise it is the error of the write, because the client has left.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing a JSON answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err = w.Write(append(text, '\n'))
	if errors.Is(err, http.ErrBodyNotAllowed) { // 204, 304, HEAD
		return nil
	}
	return err
}

// checkJSONType returns the problem of the media type of a body.
func checkJSONType(header string) error {
	kind, params, err := mime.ParseMediaType(header)
	charset := strings.ToLower(params["charset"])
	switch {
	case header == "":
		return unsupportedType("the request has no Content-Type: send application/json")
	case err != nil, kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		return unsupportedType("the Content-Type of the request is not JSON: send application/json")
	case charset != "" && charset != "utf-8" && charset != "us-ascii":
		return unsupportedType("the charset of the request is not UTF-8")
	}
	return nil
}

func unsupportedType(detail string) error {
	return &Problem{Status: http.StatusUnsupportedMediaType, Detail: detail, Header: http.Header{"Accept": {"application/json"}}}
}

// decodeJSON decodes one JSON value into v, a pointer.
func decodeJSON(text []byte, v any, unknownFields bool) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return &Problem{Status: http.StatusBadRequest, Detail: "the body is empty: send a JSON value"}
	}
	if t := reflect.TypeOf(v).Elem(); string(bytes.TrimSpace(text)) == "null" && refusesNull(t) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return invalidJSON([]FieldError{{"#", expected(t)}}, nil)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if !unknownFields {
		d.DisallowUnknownFields()
	}
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return malformedJSON(text, int(d.InputOffset()), errors.New("data after the value"))
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && !json.Valid(text):
		return malformedJSON(text, int(syntax.Offset)-1, err)
	case errors.Is(err, io.ErrUnexpectedEOF) && !json.Valid(text):
		return malformedJSON(text, len(text), errors.New("the value is not complete"))
	}
	var wrong []FieldError
	if len(text) <= maxMismatchText {
		wrong = mismatches(text, v, unknownFields)
	}
	if len(wrong) == 0 {
		wrong = []FieldError{firstMismatch(text, err)}
	}
	return invalidJSON(wrong, err)
}

// refusesNull reports whether null is no value of t: encoding/json would ignore it, or set a
// pointer to nil that the methods of a Validator do not expect.
func refusesNull(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[Validator]()) {
		return true
	}
	return !isNilable(t.Kind()) && !hasOwnJSON(t)
}

func isNilable(k reflect.Kind) bool {
	return k == reflect.Pointer || k == reflect.Interface || k == reflect.Map || k == reflect.Slice
}

// malformedJSON is the problem of a text that is not JSON at an offset, counted from 0.
func malformedJSON(text []byte, offset int, err error) error {
	offset = min(max(offset, 0), len(text))
	line := bytes.Count(text[:offset], []byte("\n")) + 1
	column := offset - bytes.LastIndexByte(text[:offset], '\n')
	return &Problem{
		Status: http.StatusBadRequest,
		Detail: fmt.Sprintf("the body is not one JSON value: line %d, byte %d: %s", line, column, strings.TrimPrefix(err.Error(), "json: ")),
	}
}

// invalidJSON is the problem of a value that is JSON but not accepted.
func invalidJSON(wrong []FieldError, err error) error {
	detail := fmt.Sprintf("%d members of the body are wrong", len(wrong))
	if len(wrong) == 1 {
		detail = wrong[0].Pointer + " " + wrong[0].Detail
	}
	return &Problem{Status: http.StatusBadRequest, Detail: detail, Extensions: map[string]any{"errors": wrong}, Err: err}
}
