package dotnet

import (
	"fmt"
	"math"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// DateTimeOffset is a DateTimeOffset of .NET: a point in time and the offset of the clock that has shown it, in whole minutes
// up to 14 hours. Encoding another offset, or a year outside of 1 to 9999, is an error. Times are rounded down to 100 ns.
type DateTimeOffset struct{ time.Time }

const dateTimeOffsetForm = `a date and time with an offset in RFC 3339, or a timestamp and minutes in MessagePack,`

// clock returns the ticks of the local clock, and the offset in minutes.
func (d DateTimeOffset) clock() (ticks int64, minutes int, err error) {
	_, seconds := d.Zone()
	if seconds%60 != 0 || seconds < -14*60*60 || seconds > 14*60*60 {
		return 0, 0, fmt.Errorf("dotnet: a DateTimeOffset with an offset of %d s: whole minutes up to 14 hours are possible", seconds)
	}
	if _, err := ticksOf(d.Time); err != nil {
		return 0, 0, err
	}
	ticks, err = ticksOf(d.Add(time.Duration(seconds) * time.Second))
	return ticks, seconds / 60, err
}

// set takes the ticks of a local clock.
func (d *DateTimeOffset) set(ticks int64, minutes int64) error {
	utc := ticks - minutes*60*ticksPerSecond
	if minutes < -14*60 || minutes > 14*60 || utc < 0 || utc > maxTicks {
		return wrong("DateTimeOffset", dateTimeOffsetForm, fmt.Sprintf("%v with an offset of %d minutes", DateTime{ticks: ticks}, minutes))
	}
	d.Time = timeOf(utc)
	if minutes != 0 {
		d.Time = d.In(time.FixedZone("", int(minutes)*60))
	}
	return nil
}

// MarshalText returns RFC 3339 with an offset, "+00:00" for UTC.
func (d DateTimeOffset) MarshalText() ([]byte, error) {
	ticks, minutes, err := d.clock()
	if err != nil {
		return nil, err
	}
	sign := byte('+')
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Appendf(nil, "%v%c%02d:%02d", DateTime{ticks: ticks}, sign, minutes/60, minutes%60), nil
}

// UnmarshalText parses RFC 3339. A text without an offset is UTC.
func (d *DateTimeOffset) UnmarshalText(text []byte) error {
	ticks, _, offset, ok := parseDateTime(string(text))
	if !ok {
		return wrong("DateTimeOffset", dateTimeOffsetForm, string(text))
	}
	return d.set(ticks, int64(offset/time.Minute))
}

// MarshalJSON returns the text as a JSON string.
func (d DateTimeOffset) MarshalJSON() ([]byte, error) {
	text, err := d.MarshalText()
	return quoted(string(text), err)
}

// UnmarshalJSON parses a JSON string.
func (d *DateTimeOffset) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	text, err := jsonText(p, "DateTimeOffset", dateTimeOffsetForm)
	if err != nil {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// MarshalMsgpack returns an array of the reading of the local clock, as a timestamp, and the offset in minutes.
func (d DateTimeOffset) MarshalMsgpack() ([]byte, error) {
	ticks, minutes, err := d.clock()
	if err != nil {
		return nil, err
	}
	p, err := mpack.AppendTime([]byte{0x92}, timeOf(ticks))
	return mpack.AppendInt(p, int64(minutes)), err
}

// UnmarshalMsgpack reads the array of MarshalMsgpack.
func (d *DateTimeOffset) UnmarshalMsgpack(p []byte) error {
	h, in, err := whole(p, "DateTimeOffset", dateTimeOffsetForm, mpack.Array, mpack.Nil)
	if err != nil || h.Kind == mpack.Nil {
		return err
	}
	if h.N != 2 {
		return wrong("DateTimeOffset", dateTimeOffsetForm, fmt.Sprintf("an array of %d", h.N))
	}
	h, in, err = mpack.Read(in)
	if err != nil || h.Kind != mpack.Extension {
		return wrong("DateTimeOffset", dateTimeOffsetForm, h.Kind)
	}
	ticks, err := ticksOfTimestamp(in[:h.N])
	if err != nil {
		return err
	}
	h, _, err = mpack.Read(in[h.N:])
	if err != nil || h.Kind != mpack.Int || !h.Negative && h.N > math.MaxInt16 {
		return wrong("DateTimeOffset", dateTimeOffsetForm, h.Kind)
	}
	return d.set(ticks, max(int64(h.N), math.MinInt16))
}
