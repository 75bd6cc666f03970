package main

import (
	"math"
	"runtime"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// report is the summary of a run. Other programs read its JSON: fields may be added, but
// not renamed.
type report struct {
	OK          bool    `json:"ok"` // the exit status is 0
	Interrupted bool    `json:"interrupted"`
	Failure     string  `json:"failure,omitempty"` // error of the first connection, or of the closing
	Settings    setting `json:"settings"`

	Connections connectionReport `json:"connections"`
	Messages    messageReport    `json:"messages"`
	Wire        wireReport       `json:"wire"`

	LatencyNs  *quantiles  `json:"latency_ns"`      // null if no message arrived
	LatenessNs *quantiles  `json:"lateness_ns"`     // of this program; null without -rate
	Histogram  []bucketRow `json:"histogram"`       // of latencies
	Violations violations  `json:"violations"`      // by kind
	Errors     []kindCount `json:"errors"`          // the most frequent kind first
	Busy       float64     `json:"processors_busy"` // by this program during the load
	Processors int         `json:"processors"`      // that it could use
}

// setting has the values of the flags.
type setting struct {
	URL         string  `json:"url"` // without user and query
	Mode        mode    `json:"mode"`
	Connections int     `json:"connections"`
	Senders     int     `json:"senders"`
	Rate        float64 `json:"rate"`
	InFlight    int     `json:"in_flight"`
	Size        int     `json:"size"`
	Payload     kind    `json:"payload"`
	Compress    bool    `json:"compress"`
	DurationNs  int64   `json:"duration_ns"`
}

type connectionReport struct {
	Made      int        `json:"made"`
	Seconds   float64    `json:"seconds"` // until all were open
	ConnectNs *quantiles `json:"connect_ns"`

	// Closed counts connections that ended during the load, by the code of the close frame
	// (1005: a close frame without a code, 1006: no close frame).
	Closed map[wsmanager.StatusCode]uint64 `json:"closed"`
}

type messageReport struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Unsent   uint64 `json:"unsent"`  // were due and could not be sent in time
	CutOff   uint64 `json:"cut_off"` // missing because their connection had ended

	// StillComing is true if messages arrived in the last second of the wait at the end:
	// messages that are reported lost may only be slow.
	StillComing bool `json:"still_coming"`

	Seconds           float64 `json:"seconds"` // from the beginning until the end of the duration, or the last message if that is later
	SentPerSecond     float64 `json:"sent_per_second"`
	ReceivedPerSecond float64 `json:"received_per_second"`
}

// wireReport counts the bytes of the sockets during the load, including all frames and their
// headers.
type wireReport struct {
	BytesOut uint64 `json:"bytes_out"`
	BytesIn  uint64 `json:"bytes_in"`

	Compressing   uint64 `json:"compressing"`    // connections with compression
	CompressedOut uint64 `json:"compressed_out"` // messages that were compressed or too small after it
	CompressedIn  uint64 `json:"compressed_in"`  // messages that arrived compressed
}

// quantiles are durations in nanoseconds.
type quantiles struct {
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p99.9"`
	Max  time.Duration `json:"max"`
}

type bucketRow struct {
	UpToNs time.Duration `json:"up_to_ns"`
	Count  uint64        `json:"count"`
}

func quantilesOf(c counts) *quantiles {
	if c.total == 0 {
		return nil
	}
	return &quantiles{c.quantile(0.5), c.quantile(0.9), c.quantile(0.99), c.quantile(0.999), c.longest}
}

// latencies merges the latencies of all connections.
func (l *load) latencies() counts {
	hs := make([]*histogram, len(l.latency))
	for i := range l.latency {
		hs[i] = &l.latency[i]
	}
	return merge(hs...)
}

// meter is a reading at the beginning or the end of the load.
type meter struct {
	stats wsmanager.Stats
	used  time.Duration
	at    time.Time
}

func (l *load) readMeter() meter {
	return meter{l.dialer.Manager().Stats(), processorTime(), time.Now()}
}

// report summarises the run after the connections are closed.
func (l *load) report(connecting time.Duration, before, after meter) *report {
	c := l.cfg
	r := &report{
		Settings: setting{
			URL: c.redactedURL(), Mode: c.mode, Connections: c.connections, Senders: c.senders, Rate: c.rate,
			InFlight: c.inFlight, Size: c.size, Payload: c.payload, Compress: c.compress, DurationNs: int64(c.duration),
		},
		Connections: connectionReport{
			Made:      int(after.stats.Accepted),
			Seconds:   connecting.Seconds(),
			ConnectNs: quantilesOf(merge(&l.connects)),
			Closed:    after.stats.Closed,
		},
		Wire: wireReport{
			BytesOut:      after.stats.BytesOut - before.stats.BytesOut,
			BytesIn:       after.stats.BytesIn - before.stats.BytesIn,
			Compressing:   after.stats.Compressed.Accepted,
			CompressedOut: after.stats.Compressed.Out,
			CompressedIn:  after.stats.Compressed.In,
		},
		Histogram: []bucketRow{},
		Errors:    l.errors.list(),
		Violations: violations{
			Duplicated: l.duplicated.Load(), Reordered: l.reordered.Load(), Corrupted: l.corrupted.Load(), Foreign: l.foreign.Load(),
		},
		Processors: runtime.GOMAXPROCS(0),
	}
	if took := after.at.Sub(before.at); took > 0 {
		r.Busy = round(float64(after.used-before.used) / float64(took))
	}
	l.account(r)
	m := &r.Messages
	m.StillComing = l.timedOut && m.Received > 0 && after.at.Sub(l.began)-time.Duration(l.lastReceived.Load()) < time.Second
	m.Seconds = max(l.sentFor, time.Duration(l.lastReceived.Load())).Seconds()
	if m.Seconds > 0 {
		m.ReceivedPerSecond = round(float64(m.Received) / m.Seconds)
		m.SentPerSecond = round(float64(m.Sent) / m.Seconds)
	}
	latency := l.latencies()
	r.LatencyNs = quantilesOf(latency)
	for _, row := range latency.rows(20) {
		r.Histogram = append(r.Histogram, bucketRow{row.upTo, row.count})
	}
	if c.rate > 0 {
		r.LatenessNs = quantilesOf(merge(&l.lateness))
	}
	return r
}

// account counts sent, received and missing messages.
func (l *load) account(r *report) {
	expected := make([]uint64, l.senders) // by sender
	for i, s := range l.sending {
		sent := s.sent.Load()
		r.Messages.Sent += sent
		if !s.ended.Load() {
			r.Messages.Unsent += l.unsent(s)
		}
		expected[i] = sent
		if l.cfg.mode == modeBroadcast && s.ended.Load() {
			// The number of messages that reached the server is unknown. It is at least the
			// highest number that a connection has received.
			expected[i] = 0
			for _, m := range l.members {
				expected[i] = max(expected[i], m.streams[i].seen)
			}
		}
	}
	for _, m := range l.members {
		received := m.received.Load()
		r.Messages.Received += received
		lost := uint64(0)
		for i := range m.streams {
			if l.cfg.mode == modeBroadcast {
				lost += m.streams[i].lost(expected[i])
			} else if m.sender >= 0 {
				lost += m.streams[i].lost(expected[m.sender])
			}
		}
		if m.ended.Load() {
			r.Messages.CutOff += lost
		} else {
			r.Violations.Lost += lost
		}
	}
}

// judge sets OK.
func (r *report) judge() {
	r.OK = r.Failure == "" && len(r.Errors) == 0 && r.Violations.sum() == 0 && r.Messages.Unsent == 0 && r.Messages.CutOff == 0
}

// round rounds to two decimals.
func round(f float64) float64 { return math.Round(f*100) / 100 }
