package dotnet

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// TimeSpan is a TimeSpan of .NET: a number of ticks of 100 ns, from about -29,000 to 29,000 years.
type TimeSpan struct{ ticks int64 }

// Ticks of 100 ns.
const (
	tick           = 100 * time.Nanosecond
	ticksPerSecond = int64(time.Second / tick)
	ticksPerDay    = 24 * 60 * 60 * ticksPerSecond
)

const timeSpanForm = `the form "[-][d.]hh:mm:ss[.fffffff]", or ticks of 100 ns in MessagePack,`

// NewTimeSpan returns d in ticks, rounded towards zero.
func NewTimeSpan(d time.Duration) TimeSpan { return TimeSpan{int64(d / tick)} }

// TimeSpanOf returns a TimeSpan of a number of ticks.
func TimeSpanOf(ticks int64) TimeSpan { return TimeSpan{ticks} }

// Ticks returns the number of ticks.
func (s TimeSpan) Ticks() int64 { return s.ticks }

// Duration returns the time span as a time.Duration. One beyond the range of a Duration, 292 years, becomes its limit, as in
// time.Time.Sub.
func (s TimeSpan) Duration() time.Duration {
	switch limit := int64(math.MaxInt64 / tick); {
	case s.ticks > limit:
		return math.MaxInt64
	case s.ticks < -limit:
		return math.MinInt64
	}
	return time.Duration(s.ticks) * tick
}

// String returns the text of .NET's constant format: "[-][d.]hh:mm:ss[.fffffff]".
func (s TimeSpan) String() string {
	var b []byte
	ticks := uint64(s.ticks)
	if s.ticks < 0 {
		b = append(b, '-')
		ticks = -ticks
	}
	if days := ticks / uint64(ticksPerDay); days > 0 {
		b = strconv.AppendUint(b, days, 10)
		b = append(b, '.')
	}
	return string(appendClock(b, int64(ticks%uint64(ticksPerDay)), false))
}

// appendClock appends hh:mm:ss and the seven digits of the fraction, if there is one. trim removes zeros at its end.
func appendClock(b []byte, ticks int64, trim bool) []byte {
	seconds, fraction := ticks/ticksPerSecond, ticks%ticksPerSecond
	two := func(n int64) { b = append(b, byte('0'+n/10), byte('0'+n%10)) }
	two(seconds / 3600)
	b = append(b, ':')
	two(seconds / 60 % 60)
	b = append(b, ':')
	two(seconds % 60)
	if fraction == 0 {
		return b
	}
	digits := strconv.FormatInt(ticksPerSecond+fraction, 10)[1:]
	if trim {
		digits = strings.TrimRight(digits, "0")
	}
	return append(append(b, '.'), digits...)
}

// parseClock parses hh:mm:ss[.f…] of a day. Seven digits of the fraction count; more are an error unless cut is set.
func parseClock(s string, cut bool) (ticks int64, ok bool) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return 0, false
	}
	hours, ok1 := digits(s[:2])
	minutes, ok2 := digits(s[3:5])
	seconds, ok3 := digits(s[6:8])
	if !ok1 || !ok2 || !ok3 || hours > 23 || minutes > 59 || seconds > 59 {
		return 0, false
	}
	ticks = (hours*3600 + minutes*60 + seconds) * ticksPerSecond
	if s = s[8:]; s == "" {
		return ticks, true
	}
	fraction := s[1:]
	if _, ok := digits(fraction); s[0] != '.' || !ok || len(fraction) > 7 && !cut {
		return 0, false
	}
	if len(fraction) > 7 {
		fraction = fraction[:7]
	}
	f, _ := digits(fraction + "0000000"[len(fraction):])
	return ticks + f, true
}

// digits parses 1 to 18 decimal digits.
func digits(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

// MarshalText returns the text of String.
func (s TimeSpan) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses the form of String. As in .NET, a number alone is a number of days.
func (s *TimeSpan) UnmarshalText(text []byte) error {
	rest, negative := strings.CutPrefix(string(text), "-")
	days, clock, found := strings.Cut(rest, ".")
	if strings.Contains(days, ":") { // the dot begins the fraction
		days, clock, found = "0", rest, true
	}
	d, ok := digits(days)
	ticks := int64(0)
	if ok && found { // a number alone is a number of days
		ticks, ok = parseClock(clock, false)
	}
	const maxDays = math.MaxInt64 / ticksPerDay
	if !ok || d > maxDays {
		return wrong("TimeSpan", timeSpanForm, string(text))
	}
	total := uint64(d)*uint64(ticksPerDay) + uint64(ticks)
	switch {
	case total <= math.MaxInt64 && !negative:
		s.ticks = int64(total)
	case total <= 1<<63 && negative:
		s.ticks = int64(-total)
	default:
		return wrong("TimeSpan", timeSpanForm, string(text))
	}
	return nil
}

// MarshalJSON returns the text as a JSON string.
func (s TimeSpan) MarshalJSON() ([]byte, error) { return quoted(s.String(), nil) }

// UnmarshalJSON parses a JSON string.
func (s *TimeSpan) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	text, err := jsonText(p, "TimeSpan", timeSpanForm)
	if err != nil {
		return err
	}
	return s.UnmarshalText([]byte(text))
}

// MarshalMsgpack returns the ticks.
func (s TimeSpan) MarshalMsgpack() ([]byte, error) { return mpack.AppendInt(nil, s.ticks), nil }

// UnmarshalMsgpack reads the ticks.
func (s *TimeSpan) UnmarshalMsgpack(p []byte) error {
	ticks, ok, err := integer(p, "TimeSpan", timeSpanForm)
	if ok {
		s.ticks = ticks
	}
	return err
}
