package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// config has the values of the flags.
type config struct {
	url         string
	connections int
	ramp        ramp
	mode        mode
	senders     int     // after complete never 0
	rate        float64 // messages per second of all senders; 0 means limited by inFlight only
	inFlight    int     // limit of each sender
	size        int
	payload     kind
	compress    bool
	duration    time.Duration
	timeout     time.Duration
	header      headers
	insecure    bool
	json        string // a file, - for stdout, or empty
	quiet       bool

	driver wsmanager.Driver // set by tests only
}

// mode is the expected behaviour of the server.
type mode string

const (
	modeEcho      mode = "echo"
	modeBroadcast mode = "broadcast"
)

// oneOf is a flag whose value is one of two words.
type oneOf[T ~string] struct {
	value *T
	words []T
}

func (o oneOf[T]) String() string {
	if o.value == nil {
		return "" // package flag calls String on a zero value
	}
	return string(*o.value)
}

func (o oneOf[T]) Set(s string) error {
	for _, w := range o.words {
		if s == string(w) {
			*o.value = w
			return nil
		}
	}
	return fmt.Errorf("it must be %s or %s", o.words[0], o.words[1])
}

// ramp is the rate at which connections are opened: a number per second, or a time for all
// of them. The zero value has no limit.
type ramp struct {
	perSecond float64
	within    time.Duration
}

func (r *ramp) String() string {
	switch {
	case r.perSecond > 0:
		return strconv.FormatFloat(r.perSecond, 'g', -1, 64)
	case r.within > 0:
		return r.within.String()
	}
	return "0"
}

func (r *ramp) Set(s string) error {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if !(n >= 0 && n <= 1e6) {
			return errors.New("it must be a number of connections a second, up to a million")
		}
		*r = ramp{perSecond: n}
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errors.New("it must be a number of connections a second, for example 500, or a time for all of them, for example 10s")
	}
	*r = ramp{within: d}
	return nil
}

// pace returns the times when connections are due.
func (r *ramp) pace(connections int) pace {
	if r.within > 0 {
		return pace{rate: float64(connections) / r.within.Seconds()}
	}
	return pace{rate: r.perSecond}
}

// headers collects the values of -header.
type headers http.Header

func (h headers) String() string { return "" }

func (h headers) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return errors.New(`it must be "Name: value"`)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	h[name] = append(h[name], strings.TrimSpace(value))
	return nil
}

const usage = `Loadtest opens many WebSocket connections to a server, sends messages, and checks
that each arrives once, unchanged and in order.

  loadtest -url ws://127.0.0.1:8080/echo -connections 1000 -duration 10s
  loadtest -url ws://127.0.0.1:8080/broadcast -mode broadcast -rate 50 -connections 1000

The exit status is 0 after a successful run, 1 after an error or if a message was lost,
duplicated, out of order, corrupted or foreign, and 2 if the flags are wrong.

`

// parseFlags parses the command line. It writes the text of -h to help.
func parseFlags(args []string, help io.Writer) (*config, error) {
	c := &config{mode: modeEcho, payload: kindRandom, header: headers{}}
	f := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the caller reports errors
	f.StringVar(&c.url, "url", "", "the server, `ws://host/path` or wss://host/path (required)")
	f.IntVar(&c.connections, "connections", 100, "open `n` connections")
	f.Var(&c.ramp, "ramp", "open `n` connections a second (500), or all within a time (10s); 0 is unlimited")
	f.Var(oneOf[mode]{&c.mode, []mode{modeEcho, modeBroadcast}}, "mode", "`echo`: each connection receives its own messages; broadcast: all receive each message")
	f.IntVar(&c.senders, "senders", 0, "`n` of the connections send; 0 is all in echo mode, 1 in broadcast mode")
	f.Float64Var(&c.rate, "rate", 0, "send `n` messages a second in total, in turn from each sender, without waiting for answers.\nLatency is counted from the time when a message was due, so that a stall counts in full.\n0: a sender sends the next message after an answer; latency is counted from the sending")
	f.IntVar(&c.inFlight, "in-flight", 0, "`n` messages of a sender may be in flight. A due message waits for the others, which\ncounts as latency. 0 is 1 without -rate, 64 with it")
	f.IntVar(&c.size, "size", 128, "length of a message in `bytes`")
	f.Var(oneOf[kind]{&c.payload, []kind{kindRandom, kindJSON}}, "payload", "`random`: binary, can't be compressed; json: text that compresses like that of an API")
	f.BoolVar(&c.compress, "compress", false, "offer compression (permessage-deflate)")
	f.DurationVar(&c.duration, "duration", 10*time.Second, "`time` to send after all connections are open")
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "`time` limit of a handshake, and of the wait for missing messages at the end")
	f.Var(c.header, "header", "a header of the handshake, `\"Name: value\"`; repeatable")
	f.BoolVar(&c.insecure, "insecure", false, "accept any certificate of the server")
	f.StringVar(&c.json, "json", "", "also write the summary as JSON to a `file`; - writes it to the standard output instead of the text")
	f.BoolVar(&c.quiet, "quiet", false, "no progress line, and a summary only after a failure")
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(help, usage)
		f.SetOutput(help)
		f.PrintDefaults()
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: only flags are accepted", f.Arg(0))
	}
	return c, c.complete()
}

// complete sets defaults that depend on other flags and reports all invalid values at once.
// NewDialer checks the URL and the headers.
func (c *config) complete() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.url == "" {
		wrong("-url is missing: for example -url ws://127.0.0.1:8080/echo")
	}
	if c.connections < 1 || c.connections > 1_000_000 {
		wrong("-connections is %d: it must be 1 to 1000000", c.connections)
	}
	if c.senders == 0 {
		c.senders = 1
		if c.mode == modeEcho {
			c.senders = c.connections
		}
	} else if c.senders < 0 || c.senders > c.connections {
		wrong("-senders is %d: it must be 1 to the number of connections, %d", c.senders, c.connections)
	}
	if !(c.rate >= 0 && c.rate <= 1e7) { // or NaN
		wrong("-rate is %v: it must be a number of messages a second, up to ten million, or 0", c.rate)
	}
	if c.inFlight == 0 {
		c.inFlight = 1
		if c.rate > 0 {
			c.inFlight = 64
		}
	} else if c.inFlight < 0 || c.inFlight > 1_000_000 {
		wrong("-in-flight is %d: it must be 1 to 1000000, or 0 for the default", c.inFlight)
	}
	if least := c.payload.minSize(); c.size < least {
		wrong("-size is %d: a message of payload %s has at least %d bytes, including the data that is needed to check it", c.size, c.payload, least)
	} else if c.size > 64<<20 {
		wrong("-size is %d: it must not be above %d", c.size, 64<<20)
	}
	if int64(c.inFlight)*int64(c.size) > 1<<30 {
		wrong("-in-flight %d messages of -size %d exceed 1 GiB, the limit of a connection", c.inFlight, c.size)
	}
	if c.duration <= 0 {
		wrong("-duration is %v: it must be above 0", c.duration)
	}
	if c.timeout <= 0 {
		wrong("-timeout is %v: it must be above 0", c.timeout)
	}
	if c.mode == modeBroadcast && int64(c.connections)*int64(c.senders) > 100_000_000 {
		wrong("%d connections and %d senders are too many to check: each connection has a state for each sender", c.connections, c.senders)
	}
	return errors.Join(errs...)
}

// redactedURL returns the URL without its user and query, which may be secret.
func (c *config) redactedURL() string {
	u, err := url.Parse(c.url)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
