package wsmanager

import (
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/extconnect"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// settings are the options of a Manager with their defaults, the same for server and client.
type settings struct {
	Logger       *slog.Logger // nil: slog.Default()
	BaseContext  context.Context
	Driver       Driver
	SlowConsumer SlowConsumer
	Compression  Compression
	InvalidUTF8  InvalidUTF8

	MaxMessageSize int
	MessageRate    float64
	MessageBurst   int
	ControlRate    int
	MaxGroups      int

	HandshakeTimeout time.Duration
	PingInterval     time.Duration
	IdleTimeout      time.Duration
	WriteTimeout     time.Duration
	CloseTimeout     time.Duration
	ReadyTimeout     time.Duration

	OutboxMessages int
	OutboxBytes    int
	MaxFrame       int // of a message that is sent, before it is masked

	// Only servers have the following.

	AllowedOrigins            handshake.Origins
	AllowOrigin               func(*http.Request, *url.URL) bool
	SecureOriginsOnly         bool
	DangerouslyAllowAnyOrigin bool
	MaxConnections            int
	Block                     bool
	LogAttrs                  func(*http.Request) []slog.Attr

	Backplane         Backplane
	BackplaneMessages int
	BackplaneBytes    int
	BackplaneTimeout  time.Duration
}

// options are the fields that server and client have in common.
type options struct {
	logger       *slog.Logger
	baseContext  context.Context
	driver       Driver
	slowConsumer SlowConsumer
	limits       Limits
	timeouts     Timeouts
	outbox       Outbox
	compression  Compression
	invalidUTF8  InvalidUTF8
}

// mistakes collects the mistakes in options.
type mistakes struct {
	options string // name of the options' type, the start of each path
	errs    []error
}

func (w *mistakes) add(path, format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("wsmanager: "+w.options+"."+path+": "+format, args...))
}

func (w *mistakes) err() error { return errors.Join(w.errs...) }

// number returns a number or its default.
func (w *mistakes) number(path string, v, def int) int {
	switch {
	case v == 0:
		return def
	case v < 0 && def == 0:
		w.add(path, "%d is negative; set a positive number, or 0 for no limit", v)
	case v < 0:
		w.add(path, "%d is negative; set a positive number, or 0 for the default of %d", v, def)
	}
	return v
}

// duration returns a duration or its default.
func (w *mistakes) duration(path string, v, def time.Duration) time.Duration {
	switch {
	case v == 0:
		return def
	case v < 0 && def == 0:
		w.add(path, "%v is negative; set a positive duration, or 0 for no limit", v)
	case v < 0:
		w.add(path, "%v is negative; set a positive duration, or 0 for the default of %v", v, def)
	}
	return v
}

// settings returns the options with defaults filled in, and adds the mistakes to w. maskSize
// is the size of the mask in a frame header.
func (o *options) settings(w *mistakes, maskSize int) settings {
	s := settings{Logger: o.logger, BaseContext: o.baseContext, Driver: o.driver, SlowConsumer: o.slowConsumer, InvalidUTF8: o.invalidUTF8}
	if s.BaseContext == nil {
		s.BaseContext = context.Background()
	}
	if s.Driver > DriverEventLoop {
		w.add("Driver", "%d is not a driver; use one of the constants, or 0 for DriverAuto", s.Driver)
	}
	if s.SlowConsumer == 0 {
		s.SlowConsumer = SlowConsumerClose
	} else if !s.SlowConsumer.valid() {
		w.add("SlowConsumer", "%d is not a policy; use one of the constants, or 0 for SlowConsumerClose", s.SlowConsumer)
	}
	if s.InvalidUTF8 > InvalidUTF8Replace {
		w.add("InvalidUTF8", "%d is not a policy; use one of the constants, or 0 for InvalidUTF8Reject", s.InvalidUTF8)
	}
	s.setLimits(&o.limits, w)
	s.setTimeouts(&o.timeouts, w)
	s.OutboxMessages = w.number("Outbox.Messages", o.outbox.Messages, 256)
	s.OutboxBytes = w.number("Outbox.Bytes", o.outbox.Bytes, 1<<20)
	s.setMaxFrame(o.outbox.MaxMessageSize, maskSize, w)
	s.setCompression(o.compression, w)
	return s
}

// setMaxFrame needs MaxMessageSize and OutboxBytes.
func (s *settings) setMaxFrame(size, maskSize int, w *mistakes) {
	switch s.MaxFrame = s.OutboxBytes - maskSize; {
	case size < 0:
		w.add("Outbox.MaxMessageSize", "%d is negative; set a positive number, or 0 for the default, which is what fits into Outbox.Bytes", size)
	case size == 0 && (s.MaxMessageSize > s.MaxFrame || frame.Size(s.MaxMessageSize) > s.MaxFrame):
		w.add("Outbox.Bytes", "%d is too small for a message of Limits.MaxMessageSize (%d) and its frame header, which could not be sent on; set more Outbox.Bytes", s.OutboxBytes, s.MaxMessageSize)
	case size > 0 && size < s.MaxMessageSize:
		w.add("Outbox.MaxMessageSize", "%d is below Limits.MaxMessageSize (%d), so a received message could not be sent on; set at least as many", size, s.MaxMessageSize)
	case size > 0:
		s.MaxFrame = frame.Size(min(size, math.MaxInt-ws.MaxHeaderSize))
	}
}

func (s *settings) setLimits(o *Limits, w *mistakes) {
	s.MaxMessageSize = w.number("Limits.MaxMessageSize", o.MaxMessageSize, 64<<10)
	s.MessageRate = o.MessageRate
	if !(o.MessageRate >= 0) || math.IsInf(o.MessageRate, 1) { // or NaN
		w.add("Limits.MessageRate", "%v is not a rate; set a positive number of messages per second, or 0 for no limit", o.MessageRate)
	}
	s.MessageBurst = w.number("Limits.MessageBurst", o.MessageBurst, max(1, int(min(o.MessageRate, math.MaxInt32))))
	s.ControlRate = w.number("Limits.ControlRate", o.ControlRate, 20)
	s.MaxGroups = w.number("Limits.MaxGroups", o.MaxGroups, 1000)
}

func (s *settings) setTimeouts(o *Timeouts, w *mistakes) {
	s.HandshakeTimeout = w.duration("Timeouts.Handshake", o.Handshake, 10*time.Second)
	s.PingInterval = w.duration("Timeouts.PingInterval", o.PingInterval, 50*time.Second)
	s.IdleTimeout = w.duration("Timeouts.Idle", o.Idle, 110*time.Second)
	s.WriteTimeout = w.duration("Timeouts.Write", o.Write, 10*time.Second)
	s.CloseTimeout = w.duration("Timeouts.Close", o.Close, 5*time.Second)
	s.ReadyTimeout = 15 * time.Second
	if s.IdleTimeout-s.PingInterval <= s.PingInterval/10 {
		w.add("Timeouts.Idle", "%v is not above Timeouts.PingInterval (%v) and the 10 %% by which it varies, so a peer that only answers pings would be closed; set a longer Idle or a shorter PingInterval", s.IdleTimeout, s.PingInterval)
	}
}

func (s *settings) setCompression(o Compression, w *mistakes) {
	switch {
	case o.Level == 0:
		o.Level = flate.BestSpeed
	case o.Level == flate.DefaultCompression || o.Level < flate.HuffmanOnly || o.Level > flate.BestCompression:
		w.add("Compression.Level", "%d is not a level; set 1 to 9 or -2, or 0 for the default of 1", o.Level)
	}
	o.Threshold = w.number("Compression.Threshold", o.Threshold, 512)
	s.Compression = o
}

// settings returns the options with defaults filled in, and all mistakes as one error.
func (o *Options) settings() (settings, error) {
	w := &mistakes{options: "Options"}
	common := options{o.Logger, o.BaseContext, o.Driver, o.SlowConsumer, o.Limits, o.Timeouts, o.Outbox, o.Compression, o.InvalidUTF8}
	s := common.settings(w, 0)
	s.ReadyTimeout = w.duration("ReadyTimeout", o.ReadyTimeout, s.ReadyTimeout)
	s.MaxConnections = w.number("MaxConnections", o.MaxConnections, 0)
	s.Block = o.Block
	s.LogAttrs = o.LogAttrs
	s.setOrigins(&o.Origins, w)
	s.setBackplane(o, w)
	if o.RequireHTTP2 {
		if err := extconnect.Check(); err != nil {
			w.add("RequireHTTP2", "%w", err)
		}
		if o.Driver == DriverEventLoop {
			w.add("RequireHTTP2", "DriverEventLoop can't serve HTTP/2; use DriverAuto, which serves HTTP/1.1 with the event loop")
		}
	}
	return s, w.err()
}

func (s *settings) setOrigins(o *Origins, w *mistakes) {
	s.SecureOriginsOnly, s.DangerouslyAllowAnyOrigin = o.SecureOnly, o.DangerouslyAllowAny
	s.AllowOrigin = o.AllowOrigin
	for _, text := range o.Allowed {
		if err := s.AllowedOrigins.Add(text); err != nil {
			w.add("Origins.Allowed", "%q %w", text, err)
		}
	}
}

func (s *settings) setBackplane(o *Options, w *mistakes) {
	s.Backplane = o.Backplane
	if o.Backplane == nil && o.BackplaneQueue != (BackplaneQueue{}) {
		w.add("BackplaneQueue", "it has no effect without Options.Backplane; set both or none")
	}
	s.BackplaneMessages = w.number("BackplaneQueue.Messages", o.BackplaneQueue.Messages, 4096)
	s.BackplaneBytes = w.number("BackplaneQueue.Bytes", o.BackplaneQueue.Bytes, 16<<20)
	s.BackplaneTimeout = w.duration("BackplaneQueue.Timeout", o.BackplaneQueue.Timeout, 10*time.Second)
	if o.Backplane != nil && s.BackplaneBytes < s.OutboxBytes {
		w.add("BackplaneQueue.Bytes", "%d is below Outbox.Bytes (%d), so a message of that size could never be published; set at least as many", s.BackplaneBytes, s.OutboxBytes)
	}
	if o.Backplane != nil && s.BackplaneBytes < o.Outbox.MaxMessageSize {
		w.add("BackplaneQueue.Bytes", "%d is below Outbox.MaxMessageSize (%d), so a message of that size could never be published; set at least as many", s.BackplaneBytes, o.Outbox.MaxMessageSize)
	}
}
