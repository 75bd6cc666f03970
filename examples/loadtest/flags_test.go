package main

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFlags(t *testing.T) {
	c, err := parseFlags([]string{"-url", "ws://example.com/ws"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, &config{
		url: "ws://example.com/ws", connections: 100, mode: modeEcho, senders: 100, inFlight: 1, size: 128,
		payload: kindRandom, duration: 10 * time.Second, timeout: 10 * time.Second, header: headers{},
	}, c)

	c, err = parseFlags(strings.Fields("-url wss://u:p@example.com/ws?token=secret -mode broadcast -connections 10 -ramp 1.5 -rate 0.5 "+
		"-size 256 -payload json -compress -duration 1m -timeout 2s -header X-A:1 -header x-a:2 -header Origin:http://a:80 -insecure -json - -quiet"), io.Discard)
	require.NoError(t, err)
	require.Equal(t, &config{
		url: "wss://u:p@example.com/ws?token=secret", connections: 10, ramp: ramp{perSecond: 1.5}, mode: modeBroadcast, senders: 1,
		rate: 0.5, inFlight: 64, size: 256, payload: kindJSON, compress: true, duration: time.Minute, timeout: 2 * time.Second,
		header: headers{"X-A": {"1", "2"}, "Origin": {"http://a:80"}}, insecure: true, json: "-", quiet: true,
	}, c)
	require.Equal(t, "wss://example.com/ws", c.redactedURL())
}

func TestHelp(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, statusOK, run(t.Context(), []string{"-h"}, &out, &errs))
	require.Empty(t, errs.String())
	for _, flag := range strings.Fields("url connections ramp rate senders in-flight size duration mode compress payload header insecure json quiet timeout") {
		require.Contains(t, out.String(), "  -"+flag)
	}
	_, err := parseFlags([]string{"-help"}, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
}

// Invalid flags are reported, all at once if they can be parsed, with status 2 and without
// secrets of the URL.
func TestBadFlags(t *testing.T) {
	for args, want := range map[string][]string{
		"": {"-url is missing"},
		"-connections 0 -senders -1 -rate -1 -in-flight -1 -size 1 -duration 0s -timeout 0s": {
			"-url is missing", "-connections is 0", "-senders is -1", "-rate is -1", "-in-flight is -1",
			"-size is 1: a message of payload random has at least 36 bytes", "-duration is 0s", "-timeout is 0s",
		},
		"-url ws://a/ -senders 101":                                      {"1 to the number of connections, 100"},
		"-url ws://a/ -rate NaN":                                         {"-rate is NaN"},
		"-url ws://a/ -payload json -size 90":                            {"a message of payload json has at least"},
		"-url ws://a/ -size 67108865":                                    {"must not be above"},
		"-url ws://a/ -size 2000 -in-flight 999999":                      {"exceed 1 GiB"},
		"-url ws://a/ -mode broadcast -connections 20000 -senders 10000": {"too many to check"},
		"-url ws://a/ -mode ping":                                        {`invalid value "ping" for flag -mode: it must be echo or broadcast`},
		"-url ws://a/ -payload xml":                                      {"it must be random or json"},
		"-url ws://a/ -ramp soon":                                        {"a number of connections a second, for example 500, or a time"},
		"-url ws://a/ -ramp -1":                                          {"a number of connections a second"},
		"-url ws://a/ -ramp -1s":                                         {"a time for all of them"},
		"-url ws://a/ -header X":                                         {`"Name: value"`},
		"-url ws://a/ -header :x":                                        {`"Name: value"`},
		"-url ws://a/ -header Upgrade:x":                                 {`"Upgrade" belongs`},
		"-url ws://a/ -port 1":                                           {"not defined: -port"},
		"-url ws://a/ more":                                              {`unexpected argument "more"`},
		"-url http//secret@example.com":                                  {"must be ws or wss"},
		"-url ftp://user:secret@example.com":                             {"must be ws or wss"},
		"-url ws://user:secret@/":                                        {"names no host"},
		"-url ws://a/ -json /no/such/folder/json":                        {"-json: open /no/such/folder/json"},
	} {
		t.Run(args, func(t *testing.T) {
			var out, errs bytes.Buffer
			require.Equal(t, statusUsage, run(t.Context(), strings.Fields(args), &out, &errs))
			require.Empty(t, out.String())
			for _, w := range want {
				require.Contains(t, errs.String(), w)
			}
			require.NotContains(t, errs.String(), "secret@")
			require.NotContains(t, errs.String(), "user:")
		})
	}
}

func TestDescriptors(t *testing.T) {
	require.NoError(t, checkDescriptors(1000, 1000+spareDescriptors))
	require.EqualError(t, checkDescriptors(5000, 4096), "5,000 connections need 5,096 open files, and the limit of this process is 4,096: raise it "+
		"(in the shell that starts it: ulimit -n 5096; the highest possible value: ulimit -Hn), or open at most 4,000 connections")
	require.NotContains(t, checkDescriptors(5000, 10).Error(), "open at most")
	require.Positive(t, descriptors())
}

func TestHeadersReachTheServer(t *testing.T) {
	s := serve(t, serverOptions{})
	l := newTestLoad(t, s, "-header", "X-Test: one", "-header", "Authorization: Bearer two", "-connections", "1", "-rate", "1", "-duration", "1ms")
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.True(t, r.OK)
	h, _ := s.header.Load().(http.Header)
	require.Equal(t, "one", h.Get("X-Test"))
	require.Equal(t, "Bearer two", h.Get("Authorization"))
}
