package middleware_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

type common struct {
	ID int64 `json:"id"`
}

type item struct {
	Name  string `json:"name"`
	Count uint8  `json:"count,omitempty"`
}

type order struct {
	common

	At     time.Time        `json:"at"`
	From   netip.Addr       `json:"from"`
	Price  float64          `json:"price"`
	Paid   bool             `json:"paid"`
	Items  []item           `json:"items"`
	First  *item            `json:"first"`
	Stock  map[string]int16 `json:"stock"`
	Sizes  map[int]string   `json:"sizes"`
	Data   []byte           `json:"data"`
	Pair   [2]int           `json:"pair"`
	Quoted int              `json:"quoted,string"`
	Any    any              `json:"any"`
	Raw    json.RawMessage  `json:"raw"`
	Secret string           `json:"-"`
	Untag  string
}

// Validate implements middleware.Validator.
func (o *order) Validate() []middleware.FieldError {
	if o.Price < 0 {
		return []middleware.FieldError{{Pointer: "#/price", Detail: "must not be negative"}}
	}
	return nil
}

// readOrder is a handler for documents of type order.
func readOrder(opts middleware.JSONOptions, seen *order) http.Handler {
	quiet := middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})
	return quiet(middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		v, err := middleware.ReadJSONWith[order](w, r, opts)
		if err != nil {
			return err
		}
		*seen = v
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
}

type problem struct {
	Status int
	Detail string
	Errors []middleware.FieldError
}

func postJSON(t *testing.T, h http.Handler, kind, body string) (int, problem) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var p problem
	if w.Body.Len() > 0 {
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.Equal(t, w.Code, p.Status)
	}
	return w.Code, p
}

func TestReadJSON(t *testing.T) {
	var got order
	status, _ := postJSON(t, readOrder(middleware.JSONOptions{}, &got), "application/json; charset=UTF-8", ` {
		"ID": 9007199254740993, "at": "2026-01-31T15:04:05Z", "from": "::1", "price": 1.5, "paid": true,
		"items": [{"name": "a", "count": 3}, {}], "first": null, "stock": {"x": -1}, "sizes": {"7": "s"},
		"data": "AAE=", "pair": [1, 2], "quoted": "12", "any": {"x": 1}, "raw": {"y": 2}, "untag": "u"
	} `)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, order{
		common: common{ID: 9007199254740993}, At: time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC), From: netip.IPv6Loopback(), Price: 1.5, Paid: true,
		Items: []item{{"a", 3}, {}}, Stock: map[string]int16{"x": -1}, Sizes: map[int]string{7: "s"},
		Data: []byte{0, 1}, Pair: [2]int{1, 2}, Quoted: 12, Any: map[string]any{"x": 1.0}, Raw: json.RawMessage(`{"y": 2}`), Untag: "u",
	}, got)
}

func TestReadJSONRefuses(t *testing.T) {
	wrong := func(pointersAndDetails ...string) (list []middleware.FieldError) {
		for i := 0; i < len(pointersAndDetails); i += 2 {
			list = append(list, middleware.FieldError{Pointer: pointersAndDetails[i], Detail: pointersAndDetails[i+1]})
		}
		return list
	}
	for _, tt := range []struct {
		name, kind, body string
		status           int
		detail           string
		errors           []middleware.FieldError
	}{
		{"no type", "", `{}`, 415, "the request has no Content-Type: send application/json", nil},
		{"a form", "application/x-www-form-urlencoded", `{}`, 415, "the Content-Type of the request is not JSON: send application/json", nil},
		{"text", "text/plain", `{}`, 415, "the Content-Type of the request is not JSON: send application/json", nil},
		{"a type that is none", "json", `{}`, 415, "the Content-Type of the request is not JSON: send application/json", nil},
		{"another charset", "application/json; charset=utf-16", `{}`, 415, "the charset of the request is not UTF-8", nil},
		{"nothing", "application/json", "", 400, "the body is empty: send a JSON value", nil},
		{"spaces", "application/json", " \n", 400, "the body is empty: send a JSON value", nil},
		{"not JSON", "application/json", "{\n  \"id\": 1,\n}", 400, "the body is not one JSON value: line 3, byte 1: invalid character '}' looking for beginning of object key string", nil},
		{"the half of it", "application/json", `{"id": 1`, 400, "the body is not one JSON value: line 1, byte 9: the value is not complete", nil},
		{"two values", "application/json", `{} {}`, 400, "the body is not one JSON value: line 1, byte 5: data after the value", nil},
		{"a bracket too many", "application/json", `{}}`, 400, "the body is not one JSON value: line 1, byte 3: data after the value", nil},
		{"null", "application/json", ` null `, 400, "# must be an object", wrong("#", "must be an object")},
		{"an array", "application/json", `[]`, 400, "# must be an object", wrong("#", "must be an object")},
		{"another type with +json", "application/vnd.x+json", `{"id": "1"}`, 400, "#/id must be a whole number from -9223372036854775808 to 9223372036854775807",
			wrong("#/id", "must be a whole number from -9223372036854775808 to 9223372036854775807")},
		{"a secret field", "application/json", `{"Secret": "x"}`, 400, "#/Secret is not known", wrong("#/Secret", "is not known")},
		{"an embedded struct", "application/json", `{"common": {}}`, 400, "#/common is not known", wrong("#/common", "is not known")},
		{"all kinds", "application/json", `{
			"at": "yesterday", "from": "x", "price": "1", "paid": 1, "items": [{"name": 1}, {"count": 256}, {"nme": ""}, 3], "first": {"count": -1},
			"stock": {"a/b~": 32768, "ok": 1}, "sizes": {"seven": "s"}, "data": "?", "pair": {}, "quoted": 12, "any": {"is": "any"}, "x": 1, "Y": {}}`, 400, "16 members of the body are wrong",
			wrong("#/Y", "is not known", "#/at", `must be a time such as "2026-01-31T15:04:05Z"`, "#/data", "must be a string in base64", "#/first/count", "must be a whole number from 0 to 255",
				"#/from", "is not valid", "#/items/0/name", "must be a string", "#/items/1/count", "must be a whole number from 0 to 255", "#/items/2/nme", "is not known", "#/items/3", "must be an object",
				"#/paid", "must be true or false", "#/pair", "must be an array", "#/price", "must be a number", "#/quoted", "must be a whole number from -9223372036854775808 to 9223372036854775807, written as a string",
				"#/sizes/seven", "is not a key that is accepted here", "#/stock/a~1b~0", "must be a whole number from -32768 to 32767", "#/x", "is not known")},
		{"a value that is not accepted", "application/json", `{"price": -1}`, 400, "#/price must not be negative", wrong("#/price", "must not be negative")},
		{"many mistakes", "application/json", `{"items": [` + strings.Repeat(`0,`, 50) + `0]}`, 400, "20 members of the body are wrong", nil},
		{"a mistake in a large document", "application/json", `{"items": [` + strings.Repeat(`{},`, 30_000) + `{"count": 300}]}`, 400, "#/items/30000/count must be a whole number from 0 to 255",
			wrong("#/items/30000/count", "must be a whole number from 0 to 255")},
		{"an embedded struct in a large document", "application/json", `{"items": [` + strings.Repeat(`{},`, 30_000) + `{}], "id": {"x": [1]}}`, 400, "#/id must be a whole number from -9223372036854775808 to 9223372036854775807", nil},
		{"an object in a large document", "application/json", `{"items": [` + strings.Repeat(`{},`, 30_000) + `{}], "stock": {"a": 1, "b/c": {"x": 1}}}`, 400, "#/stock/b~1c must be a whole number from -32768 to 32767", nil},
		{"an array in a large document", "application/json", `{"items": [` + strings.Repeat(`{},`, 30_000) + `[1]]}`, 400, "#/items/30000 must be an object", nil},
		{"a key in a large document", "application/json", `{"items": [` + strings.Repeat(`{},`, 30_000) + `{}], "sizes": {"1": "a", "seven": "s"}}`, 400, "#/sizes/seven must be a whole number from -9223372036854775808 to 9223372036854775807", nil},
		{"a member twice", "application/json", `{"id": "1", "id": 1}`, 400, "#/id must be a whole number from -9223372036854775808 to 9223372036854775807", nil},
		{"an unknown member of a large document", "application/json", `{"x": [` + strings.Repeat(`{},`, 30_000) + `0]}`, 400, `# has a member that is not known: "x"`,
			wrong("#", `has a member that is not known: "x"`)},
		{"too large", "application/json", `"` + strings.Repeat("x", 1<<20) + `"`, 413, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got order
			status, p := postJSON(t, readOrder(middleware.JSONOptions{}, &got), tt.kind, tt.body)
			require.Equal(t, tt.status, status, p)
			require.Equal(t, tt.detail, p.Detail)
			if tt.errors != nil {
				require.Equal(t, tt.errors, p.Errors)
			}
			require.Zero(t, got)
		})
	}
}

// null is no value of a pointer to a Validator: its methods would panic.
func TestReadJSONNull(t *testing.T) {
	read := func(read func(w http.ResponseWriter, r *http.Request) (err error)) (status int, p problem) {
		return postJSON(t, middleware.HandlerFunc(read), "application/json", " null\n")
	}
	status, p := read(func(w http.ResponseWriter, r *http.Request) error {
		_, err := middleware.ReadJSON[*order](w, r)
		return err
	})
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "# must be an object", p.Detail)

	status, _ = read(func(w http.ResponseWriter, r *http.Request) error {
		got, err := middleware.ReadJSON[*item](w, r)
		require.Nil(t, got)
		require.NoError(t, err)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	require.Equal(t, http.StatusNoContent, status)
}

func TestReadJSONOptions(t *testing.T) {
	var got order
	small := readOrder(middleware.JSONOptions{MaxBytes: 16, UnknownFields: true}, &got)
	status, _ := postJSON(t, small, "application/json", `{"id":1,"xy":2} `)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, int64(1), got.ID)
	status, _ = postJSON(t, small, "application/json", `{"id":1,"xyz":2} `)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, p := postJSON(t, readOrder(middleware.JSONOptions{UnknownFields: true}, &got), "application/json", `{"x":1,"id":"","items":[{"y":2}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Len(t, p.Errors, 1, "unknown members are not listed")

	status, _ = postJSON(t, middleware.BodyLimit(4)(readOrder(middleware.JSONOptions{}, &got)), "application/json", `{"id":1}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, "a smaller BodyLimit applies")
}

func TestReadJSONOverTheWire(t *testing.T) {
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{})).
		Run(middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			v, err := middleware.ReadJSON[[]string](w, r)
			if err != nil {
				return err
			}
			return middleware.WriteJSON(w, http.StatusCreated, v)
		})).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(`["a <b> ü"]`))
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusCreated, res.StatusCode)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		require.JSONEq(t, `["a <b> ü"]`, string(body))
	})
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	require.NoError(t, middleware.WriteJSON(w, http.StatusOK, map[string]any{"a": nil}))
	require.Equal(t, "{\"a\":null}\n", w.Body.String())
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))

	w = httptest.NewRecorder()
	require.Error(t, middleware.WriteJSON(w, http.StatusOK, math.NaN()))
	require.Empty(t, w.Header(), "the error can still be answered")

	failed := errors.New("the client has left")
	require.ErrorIs(t, middleware.WriteJSON(failingWriter{failed}, http.StatusOK, 1), failed)
	require.NoError(t, middleware.WriteJSON(failingWriter{http.ErrBodyNotAllowed}, http.StatusNoContent, 1))
}

type failingWriter struct{ err error }

func (failingWriter) Header() http.Header         { return http.Header{} }
func (failingWriter) WriteHeader(int)             {}
func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func TestPathValue(t *testing.T) {
	type id uint16
	for _, tt := range []struct {
		name, path string
		read       func(r *http.Request) (any, error)
		want       any
		status     int
	}{
		{"an int", "/a/-17", func(r *http.Request) (any, error) { return middleware.PathValue[int](r, "v") }, -17, 200},
		{"a type of the application", "/a/65535", func(r *http.Request) (any, error) { return middleware.PathValue[id](r, "v") }, id(65535), 200},
		{"too large a number", "/a/65536", func(r *http.Request) (any, error) { return middleware.PathValue[id](r, "v") }, id(0), 404},
		{"no number", "/a/x", func(r *http.Request) (any, error) { return middleware.PathValue[int64](r, "v") }, int64(0), 404},
		{"a text", "/a/x%2Fy", func(r *http.Request) (any, error) { return middleware.PathValue[string](r, "v") }, "x/y", 200},
		{"a float", "/a/1.5", func(r *http.Request) (any, error) { return middleware.PathValue[float32](r, "v") }, float32(1.5), 200},
		{"not a number", "/a/NaN", func(r *http.Request) (any, error) { return middleware.PathValue[float64](r, "v") }, 0.0, 404},
		{"an infinity", "/a/-Inf", func(r *http.Request) (any, error) { return middleware.PathValue[float64](r, "v") }, 0.0, 404},
		{"a bool", "/a/true", func(r *http.Request) (any, error) { return middleware.PathValue[bool](r, "v") }, true, 200},
		{"an address", "/a/::1", func(r *http.Request) (any, error) { return middleware.PathValue[netip.Addr](r, "v") }, netip.IPv6Loopback(), 200},
		{"no address", "/a/::x", func(r *http.Request) (any, error) { return middleware.PathValue[netip.Addr](r, "v") }, netip.Addr{}, 404},
		{"an empty rest", "/rest/", func(r *http.Request) (any, error) { return middleware.PathValue[string](r, "v") }, "", 200},
		{"no such wildcard", "/a/1", func(r *http.Request) (any, error) { return middleware.PathValue[int](r, "w") }, 0, 500},
		{"a type that has no text", "/a/1", func(r *http.Request) (any, error) { return middleware.PathValue[[]int](r, "v") }, []int(nil), 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got any
			mux := http.NewServeMux()
			handle := middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) (err error) {
				got, err = tt.read(r)
				return err
			})
			mux.Handle("GET /a/{v}", handle)
			mux.Handle("GET /rest/{v...}", handle)
			w := httptest.NewRecorder()
			middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})(mux).ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, tt.want, got)
		})
	}
}

// Whatever encoding/json refuses is a problem with at least one entry, and nothing that it
// accepts is refused.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"items":[{"name":1}]}`, `[`, `{"stock":{"a":1e9}}`, `{"quoted":"x"}`, `{"first":{"first":{}}}`, `nul`, `{"id":1}{`, `{"":0}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got, want order
		status, p := postJSON(t, readOrder(middleware.JSONOptions{}, &got), "application/json", body)
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		err := d.Decode(&want)
		if err == nil {
			_, err = d.Token()
		}
		if err == nil || !errors.Is(err, io.EOF) || strings.TrimSpace(body) == "" || strings.TrimSpace(body) == "null" || want.Price < 0 {
			require.Equal(t, http.StatusBadRequest, status)
			if json.Valid([]byte(body)) {
				require.NotEmpty(t, p.Errors)
			}
			return
		}
		require.Equal(t, http.StatusNoContent, status, p)
		require.Equal(t, want, got)
	})
}
