package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/hubtypes"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// typeRow tells the suite about a type.
type typeRow struct {
	Name         string `json:"name"`
	Give         string `json:"give"`   // method that returns the value
	Take         string `json:"take"`   // method that fails for another value
	Stream       string `json:"stream"` // method that returns a stream of two copies of its argument
	JSON         string `json:"json"`   // types of TypeScript
	MessagePack  string `json:"messagePack"`
	OnlyOneWay   bool   `json:"onlyOneWay"`
	NoJavaScript bool   `json:"noJavaScript"`
}

// tableMethods are methods for each type of the table in docs/signalr.md.
func tableMethods() hub.Methods {
	var rows []typeRow
	m := hub.Methods{"Rows": func() []typeRow { return rows }}
	for i, row := range hubtypes.Rows() {
		r := typeRow{
			row.Name, hubtypes.Method("Give", i), hubtypes.Method("Take", i), hubtypes.Method("Stream", i),
			row.JSON, row.MessagePack, row.OnlyOneWay != "", row.NoJavaScript,
		}
		rows = append(rows, r)
		t := row.Type()
		value := reflect.New(t).Elem()
		value.Set(reflect.ValueOf(row.Value))
		m[r.Give] = makeFunc(nil, t, func([]reflect.Value) reflect.Value { return value })
		m[r.Take] = makeFunc(t, reflect.TypeFor[error](), func(args []reflect.Value) reflect.Value {
			err := different(args[0].Interface(), row.Value)
			return reflect.ValueOf(&err).Elem()
		})
		yield := reflect.FuncOf([]reflect.Type{t}, []reflect.Type{reflect.TypeFor[bool]()}, false)
		seq := reflect.FuncOf([]reflect.Type{yield}, nil, false)
		m[r.Stream] = makeFunc(t, seq, func(args []reflect.Value) reflect.Value {
			return reflect.MakeFunc(seq, func(in []reflect.Value) []reflect.Value {
				for range 2 {
					if !in[0].Call(args)[0].Bool() {
						break
					}
				}
				return nil
			})
		})
	}
	return m
}

// makeFunc makes a function with at most one parameter, and one result.
func makeFunc(in, out reflect.Type, f func([]reflect.Value) reflect.Value) any {
	var params []reflect.Type
	if in != nil {
		params = append(params, in)
	}
	t := reflect.FuncOf(params, []reflect.Type{out}, false)
	return reflect.MakeFunc(t, func(args []reflect.Value) []reflect.Value { return []reflect.Value{f(args)} }).Interface()
}

// different compares two values by their JSON, which has all that they mean.
func different(got, want any) error {
	g, err := hub.JSON().Encode(got)
	if err != nil {
		return err
	}
	w, err := hub.JSON().Encode(want)
	if err != nil {
		return err
	}
	if string(g) != string(w) {
		return hub.Error(fmt.Sprintf("%s is not %s", g, w))
	}
	return nil
}

// A value of each Go type goes to the official JavaScript client, which sees the type that the table in docs/signalr.md says,
// and comes back as the same value.
func TestNodeTypes(t *testing.T) {
	path := node(t)
	h, err := hub.New(tableMethods(), options(slog.New(slog.DiscardHandler), newBoard()))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/hub", h)
	mux.Handle("/hub/", h)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		require.NoError(t, h.Shutdown(ctx))
		srv.Close()
	})
	for _, protocol := range []string{"json", "messagepack"} {
		t.Run(protocol, func(t *testing.T) {
			results := runNode(t, path, "types.mjs", srv.URL, protocol)
			require.Len(t, results, len(hubtypes.Rows()))
			for _, r := range results {
				require.Empty(t, r.Error, r.Name)
			}
		})
	}
}
