package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// faults adds up the clients with faults.
type faults struct {
	By       map[string]int `json:"by"`       // connections by fault
	Made     uint64         `json:"made"`     // connections
	Refused  uint64         `json:"refused"`  // failed handshakes
	Sent     uint64         `json:"sent"`     // messages of clients that expect echoes
	Received uint64         `json:"received"` // echoes
	Heard    uint64         `json:"heard"`    // broadcasts
	Wrong    []string       `json:"wrong,omitempty"`
}

type kind struct {
	name string
	make func() wstest.Fault
}

// cutAfter returns the offset of a cut in bytes. One in four is within the handshake.
func cutAfter() int64 {
	if mathrand.IntN(4) == 0 {
		return mathrand.Int64N(300)
	}
	return mathrand.Int64N(100_000)
}

func cut(c wstest.Cut) func() wstest.Fault {
	return func() wstest.Fault { return wstest.Fault{Cut: c, After: cutAfter()} }
}

var kinds = []kind{
	{"delay", func() wstest.Fault { return wstest.Fault{Delay: time.Duration(1+mathrand.IntN(50)) * time.Millisecond} }},
	{"pieces", func() wstest.Fault { return wstest.Fault{Piece: 1 + mathrand.IntN(20)} }},
	{"throttle", func() wstest.Fault { return wstest.Fault{Rate: 1000 + mathrand.IntN(100_000)} }},
	{"stall", cut(wstest.CutStall)},
	{"reset", cut(wstest.CutReset)},
	{"half-close", cut(wstest.CutHalfClose)},
	{"black hole", cut(wstest.CutBlackhole)},
}

// visitor is one client with a fault. Its messages consist of its id, a number and some
// more bytes.
type visitor struct {
	id              [16]byte // random
	echoes          bool     // it expects echoes, not broadcasts
	received, heard atomic.Uint64
	wrong           atomic.Pointer[string]
}

func (v *visitor) message(n uint64) wsmanager.Message {
	p := binary.BigEndian.AppendUint64(v.id[:], n)
	return wsmanager.Binary(append(p, make([]byte, mathrand.IntN(4000))...))
}

// onMessage compares an echo with the next message that was sent.
func (v *visitor) onMessage(_ *wsmanager.Conn, m wsmanager.Message) error {
	if !v.echoes {
		v.heard.Add(1)
		return nil
	}
	n := v.received.Add(1) - 1
	if want := binary.BigEndian.AppendUint64(v.id[:], n); !bytes.HasPrefix(m.Payload, want) {
		wrong := fmt.Sprintf("echo %d begins with %x, want %x", n, m.Payload[:min(len(m.Payload), len(want))], want)
		v.wrong.CompareAndSwap(nil, &wrong)
	}
	return nil
}

// visit is one connection with a fault. Its errors are those of this program.
func (s *soak) visit(ctx context.Context) error {
	p, err := wstest.ListenProxy(s.server.Addr)
	if err != nil {
		return err
	}
	k := kinds[mathrand.IntN(len(kinds))]
	switch mathrand.IntN(3) {
	case 0:
		p.Up(k.make())
	case 1:
		p.Down(k.make())
	default:
		p.Up(k.make())
		p.Down(k.make())
	}
	v := &visitor{echoes: mathrand.IntN(3) > 0}
	_, _ = rand.Read(v.id[:]) // it never returns an error
	path := "/broadcast"
	if v.echoes {
		path = "/echo"
	}
	c, err := wsmanager.Dial(ctx, p.URL()+path, wsmanager.Callbacks{OnMessage: v.onMessage}, wsmanager.DialOptions{
		Logger:      slog.New(slog.DiscardHandler),
		Timeouts:    wsmanager.Timeouts{Handshake: 2 * time.Second, Close: time.Second / 2, Write: 2 * time.Second, PingInterval: time.Second, Idle: 3 * time.Second},
		Compression: wsmanager.Compression{Enabled: s.compress},
	})
	sent := uint64(0)
	if err == nil {
		sent = v.stay(ctx, c, p)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = c.Manager().Shutdown(ending) // it cuts connections that the fault keeps open, and reports that
		cancel()
	}
	s.record(k.name, err, sent, v)
	return p.Close()
}

// stay sends for a while and returns the number of messages. One client in twenty stays
// until time-outs detect its fault. Of the others a third closes the connection and a
// third loses the network.
func (v *visitor) stay(ctx context.Context, c *wsmanager.Conn, p *wstest.Proxy) (sent uint64) {
	stays := time.Duration(mathrand.IntN(1500)) * time.Millisecond
	if mathrand.IntN(20) == 0 {
		stays = 8 * time.Second
	}
	over := time.After(stays)
	for {
		select {
		case <-time.After(time.Duration(mathrand.IntN(40)) * time.Millisecond):
			if v.echoes && c.Send(v.message(sent)) == nil {
				sent++
			}
			continue
		case <-over:
			switch mathrand.IntN(3) {
			case 0:
				_ = c.Close(wsmanager.StatusNormalClosure, "") // fails only for invalid arguments
			case 1:
				p.Reset()
			}
		case <-c.Context().Done():
		case <-ctx.Done():
		}
		return sent
	}
}

func (s *soak) record(fault string, refused error, sent uint64, v *visitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.res.Faults
	if f.By == nil {
		f.By = make(map[string]int)
	}
	f.By[fault]++
	if refused == nil {
		f.Made++
	} else {
		f.Refused++
	}
	f.Sent += sent
	f.Received += v.received.Load()
	f.Heard += v.heard.Load()
	if wrong := v.wrong.Load(); wrong != nil {
		f.Wrong = append(f.Wrong, *wrong)
	}
	if v.received.Load() > sent {
		f.Wrong = append(f.Wrong, fmt.Sprintf("%d echoes of %d messages", v.received.Load(), sent))
	}
}
