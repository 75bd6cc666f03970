package dotnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// Kind is what a [DateTime] says about its time zone.
type Kind uint8

// The kinds of .NET.
const (
	Unspecified Kind = iota // a clock reading without a time zone
	UTC
	Local // a point in time, of which .NET shows the local clock reading
)

// DateTime is a DateTime of .NET: ticks of 100 ns in the years 1 to 9999, and a kind. Use it for values that may have no time
// zone, which JSON writes without "Z" and an offset. time.Time refuses such a text. MessagePack has no kind: all that it
// carries is UTC. Values can be compared with ==, so DateTime can be the key of a map.
type DateTime struct {
	ticks int64 // since 0001-01-01, of the clock in UTC or, for Unspecified, of the unknown clock
	kind  Kind
}

// maxTicks is the end of the year 9999.
const maxTicks = 3_652_059*ticksPerDay - 1

// secondsTo1970 is the number of seconds from 0001-01-01 to 1970-01-01.
const secondsTo1970 = 719_162 * 24 * 60 * 60

const dateTimeForm = `a date and time in RFC 3339, with or without an offset, or a timestamp in MessagePack,`

var errYear = errors.New("dotnet: a time outside of the years 1 to 9999")

// NewDateTime returns t as a DateTime of the kind UTC, rounded down to 100 ns. It panics outside of the years 1 to 9999.
func NewDateTime(t time.Time) DateTime {
	ticks, err := ticksOf(t)
	if err != nil {
		panic(err)
	}
	return DateTime{ticks, UTC}
}

// ticksOf returns the ticks of t in UTC.
func ticksOf(t time.Time) (int64, error) {
	seconds := t.Unix() + secondsTo1970
	if seconds < 0 || seconds > maxTicks/ticksPerSecond {
		return 0, errYear
	}
	return seconds*ticksPerSecond + int64(t.Nanosecond())/int64(tick), nil
}

// timeOf returns the time of ticks in UTC.
func timeOf(ticks int64) time.Time {
	return time.Unix(ticks/ticksPerSecond-secondsTo1970, ticks%ticksPerSecond*int64(tick)).UTC()
}

// WithKind returns the same clock reading with another kind.
func (d DateTime) WithKind(k Kind) DateTime { return DateTime{d.ticks, k} }

// Kind returns the kind.
func (d DateTime) Kind() Kind { return d.kind }

// Time returns the time in UTC. A DateTime of the kind Unspecified is read as UTC.
func (d DateTime) Time() time.Time { return timeOf(d.ticks) }

// Add returns d plus a time span. It panics outside of the years 1 to 9999.
func (d DateTime) Add(s TimeSpan) DateTime {
	ticks := d.ticks + s.ticks
	if ticks < 0 || ticks > maxTicks {
		panic(errYear)
	}
	return DateTime{ticks, d.kind}
}

// String returns the text that JSON has: RFC 3339, with "Z" for UTC, "+00:00" for Local and nothing for Unspecified.
func (d DateTime) String() string {
	b := d.Time().AppendFormat(nil, "2006-01-02T")
	b = appendClock(b, d.ticks%ticksPerDay, true)
	return string(b) + [...]string{"", "Z", "+00:00"}[d.kind%3]
}

// parseDateTime parses a date, or a date and a time with any digits of a second, with "Z", an offset or neither. ticks
// are those of the text's clock.
func parseDateTime(s string) (ticks int64, kind Kind, offset time.Duration, ok bool) {
	if len(s) < len("2006-01-02") {
		return 0, 0, 0, false
	}
	date, err := time.Parse("2006-01-02", s[:10])
	if err != nil || date.Year() < 1 {
		return 0, 0, 0, false
	}
	if ticks, err = ticksOf(date); err != nil || s[10:] == "" {
		return ticks, Unspecified, 0, err == nil
	}
	if s[10] != 'T' || len(s) < len("2006-01-02T15:04:05") {
		return 0, 0, 0, false
	}
	s = s[11:]
	end := len(s)
	switch sign := len(s) - len("+00:00"); {
	case s[len(s)-1] == 'Z':
		kind, end = UTC, len(s)-1
	case s[sign] == '+' || s[sign] == '-':
		hours, ok1 := digits(s[sign+1 : sign+3])
		minutes, ok2 := digits(s[sign+4:])
		if !ok1 || !ok2 || s[sign+3] != ':' || minutes > 59 || hours*60+minutes > 14*60 {
			return 0, 0, 0, false
		}
		offset = time.Duration(hours*60+minutes) * time.Minute
		if s[sign] == '-' {
			offset = -offset
		}
		kind, end = Local, sign
	}
	clock, ok := parseClock(s[:end], true)
	return ticks + clock, kind, offset, ok
}

// MarshalText returns the text of String.
func (d DateTime) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses RFC 3339, also without an offset or without a time. A text with an offset has the kind Local. More than
// seven digits of a second are cut.
func (d *DateTime) UnmarshalText(text []byte) error {
	ticks, kind, offset, ok := parseDateTime(string(text))
	if ticks -= int64(offset / tick); !ok || ticks < 0 || ticks > maxTicks {
		return wrong("DateTime", dateTimeForm, string(text))
	}
	*d = DateTime{ticks, kind}
	return nil
}

// MarshalJSON returns the text as a JSON string.
func (d DateTime) MarshalJSON() ([]byte, error) { return quoted(d.String(), nil) }

// UnmarshalJSON parses a JSON string.
func (d *DateTime) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	text, err := jsonText(p, "DateTime", dateTimeForm)
	if err != nil {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// MarshalMsgpack returns a timestamp.
func (d DateTime) MarshalMsgpack() ([]byte, error) { return mpack.AppendTime(nil, d.Time()) }

// UnmarshalMsgpack reads a timestamp, which has the kind UTC.
func (d *DateTime) UnmarshalMsgpack(p []byte) error {
	h, ext, err := whole(p, "DateTime", dateTimeForm, mpack.Extension, mpack.Nil)
	if err != nil || h.Kind == mpack.Nil {
		return err
	}
	ticks, err := ticksOfTimestamp(ext[:h.N])
	if err == nil {
		*d = DateTime{ticks, UTC}
	}
	return err
}

func ticksOfTimestamp(ext []byte) (int64, error) {
	t, err := mpack.Time(ext)
	if err != nil {
		return 0, fmt.Errorf("dotnet: %w", err)
	}
	return ticksOf(t)
}
