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

// faults is what became of the clients with faults.
type faults struct {
	By       map[string]int `json:"by"`       // visits, by their fault
	Made     uint64         `json:"made"`     // connections
	Refused  uint64         `json:"refused"`  // visits that ended within the handshake
	Sent     uint64         `json:"sent"`     // echoes
	Received uint64         `json:"received"` // echoes
	Heard    uint64         `json:"heard"`    // broadcasts
	Wrong    []string       `json:"wrong,omitempty"`
}

// kind is a fault by its name.
type kind struct {
	name string
	make func() wstest.Fault
}

// after is where a cut comes: one in four within the handshake.
func after() int64 {
	if mathrand.IntN(4) == 0 {
		return mathrand.Int64N(300)
	}
	return mathrand.Int64N(100_000)
}

func cut(c wstest.Cut) func() wstest.Fault {
	return func() wstest.Fault { return wstest.Fault{Cut: c, After: after()} }
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

// visitor is one client with faults. Its messages are its secret, a number, and some
// more bytes.
type visitor struct {
	secret          [16]byte
	echoes          bool
	received, heard atomic.Uint64
	wrong           atomic.Pointer[string]
}

func (v *visitor) message(n uint64) wsmanager.Message {
	p := binary.BigEndian.AppendUint64(v.secret[:], n)
	return wsmanager.Binary(append(p, make([]byte, mathrand.IntN(4000))...))
}

// onMessage holds what comes against what was sent: the next one, and its own.
func (v *visitor) onMessage(_ *wsmanager.Conn, m wsmanager.Message) error {
	if !v.echoes {
		v.heard.Add(1)
		return nil
	}
	n := v.received.Add(1) - 1
	if want := binary.BigEndian.AppendUint64(v.secret[:], n); !bytes.HasPrefix(m.Payload, want) {
		wrong := fmt.Sprintf("echo %d begins with %x, want %x", n, m.Payload[:min(len(m.Payload), len(want))], want)
		v.wrong.CompareAndSwap(nil, &wrong)
	}
	return nil
}

// visit is one connection with a fault, from its beginning to its end. An error is of
// this program's own.
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
	_, _ = rand.Read(v.secret[:]) // never fails: see its documentation
	path := "/broadcast"
	if v.echoes {
		path = "/echo"
	}
	c, err := wsmanager.Dial(ctx, p.URL()+path, wsmanager.Callbacks{OnMessage: v.onMessage}, wsmanager.DialOptions{Options: wsmanager.Options{
		Logger:           slog.New(slog.DiscardHandler),
		HandshakeTimeout: 2 * time.Second, CloseTimeout: time.Second / 2, WriteTimeout: 2 * time.Second,
		PingInterval: time.Second, IdleTimeout: 3 * time.Second,
		Compression: wsmanager.Compression{Enabled: s.compress},
	}})
	sent := uint64(0)
	if err == nil {
		sent = v.stay(ctx, c, p)
		// What does not end in time is cut, and Shutdown says so.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = c.Manager().Shutdown(ending)
		cancel()
	}
	s.note(k.name, err, sent, v)
	return p.Close()
}

// stay sends for a while, and returns how many messages. One visit in twenty stays until
// time-outs find its fault; of the others a third closes, and the network is lost for a
// third.
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
				_ = c.Close(wsmanager.StatusNormalClosure, "") // nil, as the arguments are good
			case 1:
				p.Reset()
			}
		case <-c.Context().Done():
		case <-ctx.Done():
		}
		return sent
	}
}

// note adds a visit up.
func (s *soak) note(fault string, refused error, sent uint64, v *visitor) {
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
