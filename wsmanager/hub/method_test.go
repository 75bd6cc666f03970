package hub_test

import (
	"context"
	"io"
	"iter"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func TestInvalidMethods(t *testing.T) {
	for want, method := range map[string]any{
		`Methods["M"]: is a string: a function is needed`:                                            "text",
		`Methods["M"]: is a <nil>: a function is needed`:                                             nil,
		`Methods["M"]: is a nil function`:                                                            (func())(nil),
		`Methods["M"]: is a *Method: use a Method`:                                                   &hub.Method{},
		`Methods["M"]: is a struct {}: a function is needed`:                                         hub.Method{Func: struct{}{}},
		`Methods["M"]: takes []int: the number of arguments must be fixed`:                           func(...int) {},
		`Methods["M"]: takes a *hub.Context as parameter 2: a context must be the first parameter`:   func(int, *hub.Context) {},
		`Methods["M"]: takes a context.Context as parameter 2`:                                       func(*hub.Context, context.Context) {},
		`Methods["M"]: parameter 1: is a func(), which cannot be decoded`:                            func(func()) {},
		`Methods["M"]: parameter 2: is a io.Reader, which cannot be decoded`:                         func(int, io.Reader) {},
		`Methods["M"]: parameter 1: is a chan int: take a <-chan int`:                                func(chan int) {},
		`Methods["M"]: parameter 1: is a chan<- int, which cannot be decoded`:                        func(chan<- int) {},
		`Methods["M"]: parameter 1: is a iter.Seq[int]: a stream of the client may fail`:             func(iter.Seq[int]) {},
		`Methods["M"]: parameter 1: is a stream of func(), which cannot be decoded`:                  func(<-chan func()) {},
		`Methods["M"]: returns 3 values: at most a result and an error`:                              func() (int, int, error) { return 0, 0, nil },
		`Methods["M"]: returns 2 values: at most a result and an error are possible, the error last`: func() (error, int) { return nil, 0 }, //nolint:staticcheck // ST1008: that is the mistake
		`Methods["M"]: returns a func(), which cannot be encoded`:                                    func() func() { return nil },
		`Methods["M"]: returns a iter.Seq2[int,string], which cannot be encoded`:                     func() iter.Seq2[int, string] { return nil },
		`Methods["M"]: returns a stream of chan int, which cannot be encoded`:                        func() <-chan chan int { return nil },
	} {
		_, err := hub.New(hub.Methods{"M": method}, optionsWithoutLog())
		require.ErrorContains(t, err, want)
	}
	_, err := hub.New(hub.Methods{"add": func() {}, "Add": func() {}, "": func() {}, "bad": 1}, hub.Options{ClientTimeout: time.Second})
	require.EqualError(t, err, `hub: Methods[""]: a method needs a name
hub: Methods["Add"] and Methods["add"] only differ in case: there are no overloads
hub: Methods["bad"]: is a int: a function is needed
hub: Options.ClientTimeout (1s) must be above KeepAliveInterval (15s), because clients ping when they receive something`)
	require.Panics(t, func() { hub.MustNew(hub.Methods{"M": 1}, optionsWithoutLog()) })
}

func TestValidMethods(t *testing.T) {
	h, err := hub.New(hub.Methods{
		"A": func() {},
		"B": func(*hub.Context, thing, *thing, []thing, map[string]thing, any, time.Time, [2]int) (thing, error) {
			return thing{}, nil
		},
		"C": func(context.Context, iter.Seq2[thing, error], <-chan int) (<-chan thing, error) { return nil, nil },
		"D": func() (iter.Seq[int], error) { return nil, nil },
		"E": hub.Method{Func: func() chan int { return nil }},
		"F": func() any { return nil },
	}, optionsWithoutLog())
	require.NoError(t, err)
	require.NoError(t, h.Shutdown(t.Context()))
}

// Sizes whose double overflows an int are allowed.
func TestLargeSizes(t *testing.T) {
	for _, size := range []int{1 << 28, 1 << 29, 1 << 30, math.MaxInt/2 + 1, math.MaxInt - 4<<10} {
		_, url := serve(t, testMethods(nil), hub.Options{MaxReceiveSize: size, StatefulReconnect: true})
		for _, resumes := range []bool{false, true} {
			c := client(t, url, hub.DialOptions{MaxReceiveSize: size, ReceiveBuffer: size, StatefulReconnect: resumes})
			require.NoError(t, c.Call(testContext(t), "Void"))
		}
	}
}

func TestLongHandshakeTimeout(t *testing.T) {
	_, url := serve(t, testMethods(nil), hub.Options{HandshakeTimeout: math.MaxInt64}) // doubled for the WebSocket
	require.NoError(t, client(t, url, hub.DialOptions{}).Call(testContext(t), "Void"))
}

func TestInvalidOptions(t *testing.T) {
	for want, opts := range map[string]hub.Options{
		"Options.KeepAliveInterval is -1ns":                     {KeepAliveInterval: -1},
		"Options.HandshakeTimeout is -1ns":                      {HandshakeTimeout: -1},
		"Options.ResumeWindow is -1ns":                          {ResumeWindow: -1},
		"Options.NegotiationTimeout is -1":                      {NegotiationTimeout: -1},
		"Options.MaxReceiveSize is -1":                          {MaxReceiveSize: -1},
		"Options.MaxParallelCalls is -1":                        {MaxParallelCalls: -1},
		"Options.MaxPendingCalls is -1":                         {MaxPendingCalls: -1},
		"Options.MaxPendingBytes is -1":                         {MaxPendingBytes: -1},
		"Options.StreamBuffer is -1":                            {StreamBuffer: -1},
		"Options.StatefulBuffer is -1":                          {StatefulBuffer: -1},
		"Options.MaxNegotiations is -1":                         {MaxNegotiations: -1},
		"has a nil protocol":                                    {Protocols: []hub.Protocol{nil}},
		`has "json" twice`:                                      {Protocols: []hub.Protocol{hub.JSON(), hub.JSON()}},
		"at most 8":                                             {Protocols: make([]hub.Protocol, 9)},
		"nil filter":                                            {Filters: []hub.Filter{nil}},
		"use HandshakeTimeout":                                  {WebSocket: wsmanager.Options{ReadyTimeout: 1}},
		"WebSocket.Backplane is set":                            {WebSocket: wsmanager.Options{Backplane: &wsmanager.LocalBus{}}},
		"Options.MaxSendSize is -2: it must be positive, 0 for": {MaxSendSize: -2},
		"Outbox.MaxMessageSize is set: use MaxSendSize":         {WebSocket: wsmanager.Options{Outbox: wsmanager.Outbox{MaxMessageSize: 1 << 20}}},
		"StatefulBuffer (100000) must be below":                 {WebSocket: wsmanager.Options{Outbox: wsmanager.Outbox{Bytes: 100_000}, Limits: wsmanager.Limits{MaxMessageSize: 50_000}}},
		"Options.Origins.Allowed":                               {WebSocket: wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{"x"}}}},
	} {
		_, err := hub.New(nil, opts)
		require.ErrorContains(t, err, want)
	}
}
