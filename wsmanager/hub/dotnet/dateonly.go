package dotnet

import (
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// DateOnly is a DateOnly of .NET: a day in the years 1 to 9999.
type DateOnly struct{ day int32 }

// maxDay is the number of 9999-12-31.
const maxDay = maxTicks / ticksPerDay

const dateOnlyForm = `the form "2006-01-02", or a day number in MessagePack,`

// NewDateOnly returns the day of t in the location of t. It panics outside of the years 1 to 9999.
func NewDateOnly(t time.Time) DateOnly {
	y, m, d := t.Date()
	ticks, err := ticksOf(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	return DateOnly{int32(ticks / ticksPerDay)}
}

// Time returns the beginning of the day in UTC.
func (d DateOnly) Time() time.Time { return timeOf(int64(d.day) * ticksPerDay) }

// DayNumber returns the number of days since 0001-01-01.
func (d DateOnly) DayNumber() int { return int(d.day) }

// String returns the form "2006-01-02".
func (d DateOnly) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText returns the text of String.
func (d DateOnly) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the form of String.
func (d *DateOnly) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil || t.Year() < 1 {
		return wrong("DateOnly", dateOnlyForm, string(text))
	}
	*d = NewDateOnly(t)
	return nil
}

// MarshalJSON returns the text as a JSON string.
func (d DateOnly) MarshalJSON() ([]byte, error) { return quoted(d.String(), nil) }

// UnmarshalJSON parses a JSON string.
func (d *DateOnly) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	text, err := jsonText(p, "DateOnly", dateOnlyForm)
	if err != nil {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// MarshalMsgpack returns the day number.
func (d DateOnly) MarshalMsgpack() ([]byte, error) { return mpack.AppendInt(nil, int64(d.day)), nil }

// UnmarshalMsgpack reads the day number.
func (d *DateOnly) UnmarshalMsgpack(p []byte) error {
	day, ok, err := integer(p, "DateOnly", dateOnlyForm)
	if err != nil || !ok {
		return err
	}
	if day < 0 || day > maxDay {
		return wrong("DateOnly", dateOnlyForm, day)
	}
	d.day = int32(day)
	return nil
}

// TimeOnly is a TimeOnly of .NET: a time of a day in ticks of 100 ns.
type TimeOnly struct{ ticks int64 }

const timeOnlyForm = `the form "15:04:05[.fffffff]", or ticks of 100 ns in MessagePack,`

// NewTimeOnly returns the time of the day that has passed since midnight, rounded down to 100 ns. It panics unless
// sinceMidnight is from 0 to less than 24 hours.
func NewTimeOnly(sinceMidnight time.Duration) TimeOnly {
	if sinceMidnight < 0 || sinceMidnight >= 24*time.Hour {
		panic(fmt.Sprintf("dotnet: %v is not in a day", sinceMidnight))
	}
	return TimeOnly{int64(sinceMidnight / tick)}
}

// SinceMidnight returns the time since midnight.
func (t TimeOnly) SinceMidnight() time.Duration { return time.Duration(t.ticks) * tick }

// String returns the form "15:04:05", with a fraction of seven digits if it is not zero.
func (t TimeOnly) String() string { return string(appendClock(nil, t.ticks, false)) }

// MarshalText returns the text of String.
func (t TimeOnly) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText parses the form of String, with up to seven digits of a second.
func (t *TimeOnly) UnmarshalText(text []byte) error {
	ticks, ok := parseClock(string(text), false)
	if !ok {
		return wrong("TimeOnly", timeOnlyForm, string(text))
	}
	t.ticks = ticks
	return nil
}

// MarshalJSON returns the text as a JSON string.
func (t TimeOnly) MarshalJSON() ([]byte, error) { return quoted(t.String(), nil) }

// UnmarshalJSON parses a JSON string.
func (t *TimeOnly) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	text, err := jsonText(p, "TimeOnly", timeOnlyForm)
	if err != nil {
		return err
	}
	return t.UnmarshalText([]byte(text))
}

// MarshalMsgpack returns the ticks since midnight.
func (t TimeOnly) MarshalMsgpack() ([]byte, error) { return mpack.AppendInt(nil, t.ticks), nil }

// UnmarshalMsgpack reads the ticks since midnight.
func (t *TimeOnly) UnmarshalMsgpack(p []byte) error {
	ticks, ok, err := integer(p, "TimeOnly", timeOnlyForm)
	if err != nil || !ok {
		return err
	}
	if ticks < 0 || ticks >= ticksPerDay {
		return wrong("TimeOnly", timeOnlyForm, ticks)
	}
	t.ticks = ticks
	return nil
}
