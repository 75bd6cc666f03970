package pings

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// result returns the state of a ping: its round-trip time, "failed" or "waits".
func result(p *Ping) any {
	select {
	case rtt, ok := <-p.Answered():
		if !ok {
			return "failed"
		}
		return rtt
	default:
		return "waits"
	}
}

func TestPongAnswersItsPingAndEarlierOnes(t *testing.T) {
	var l List
	first, second, third := l.Add(10), l.Add(20), l.Add(30)
	l.Answer([]byte("nonsense"), 35)
	l.Answer(nil, 36)
	l.Answer(second.Payload(), 40)
	require.Equal(t, []any{time.Duration(30), time.Duration(20), "waits"}, []any{result(first), result(second), result(third)})
	require.EqualValues(t, 20, l.Latency())

	l.Answer(first.Payload(), 50) // again, and late
	l.Answer(second.Payload(), 60)
	require.EqualValues(t, 20, l.Latency())
	l.Answer(third.Payload(), 130)
	require.Equal(t, time.Duration(100), result(third))
	require.EqualValues(t, 100, l.Latency())
	require.Empty(t, l.pings)
}

func TestPayloadsDiffer(t *testing.T) {
	var l List
	seen := map[string]bool{}
	for range 1000 {
		seen[string(l.Add(0).Payload())] = true
	}
	require.Len(t, seen, 1000)
}

func TestUnawaitedPings(t *testing.T) {
	var l List
	old := l.AddUnawaited(10)
	awaited := l.Add(20)
	for range 100 {
		l.AddUnawaited(30)
	}
	require.Len(t, l.pings, 2, "the awaited one, and the newest of the others")
	l.Answer(old.Payload(), 40)
	require.Zero(t, l.Latency())
	require.Equal(t, "waits", result(awaited))
	l.Answer(l.AddUnawaited(50).Payload(), 57)
	require.EqualValues(t, 7, l.Latency())
	require.Equal(t, time.Duration(37), result(awaited))
}

func TestWithdraw(t *testing.T) {
	var l List
	a, b := l.Add(10), l.Add(20)
	require.True(t, l.Withdraw(a))
	require.True(t, l.Withdraw(b))
	require.Len(t, l.pings, 1)
	l.Answer(b.Payload(), 25)
	require.EqualValues(t, 5, l.Latency(), "the pong came after the caller had left")
	require.False(t, l.Withdraw(a))
	c := l.Add(30)
	l.Answer(c.Payload(), 31)
	require.False(t, l.Withdraw(c))
	require.Equal(t, time.Duration(1), result(c))
}

func TestResend(t *testing.T) {
	var l *List
	require.Nil(t, l.Resend(5))
	l = &List{}
	require.Nil(t, l.Resend(5))
	a, b := l.Add(10), l.Add(20)
	require.Equal(t, b, l.Resend(100))
	l.Answer(b.Payload(), 103)
	require.Equal(t, []any{time.Duration(3), time.Duration(3)}, []any{result(a), result(b)})
}

func TestFail(t *testing.T) {
	var l *List
	l.Fail()
	l.Answer(nil, 1)
	l = &List{}
	a, b := l.Add(1), l.Add(2)
	l.AddUnawaited(3)
	l.Answer(a.Payload(), 4)
	l.Fail()
	require.Equal(t, []any{time.Duration(3), "failed"}, []any{result(a), result(b)})
	require.Empty(t, l.pings)
}
