package token_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

const lifetime = 15 * time.Second

var start = time.Unix(1_700_000_000, 0)

type conn struct{ name string }

func requireState(t *testing.T, want token.State, r *token.Record[*conn], k *token.Token, at time.Time) {
	t.Helper()
	_, found := r.Find(k, at)
	require.Equal(t, want, found)
	if want != token.Fresh {
		_, claimed := r.Claim(k, at)
		require.Equal(t, want, claimed)
	}
}

// A token is good for one connection, which later requests reach until it ends.
func TestRecord(t *testing.T) {
	r := token.NewRecord[*conn](lifetime, 10)
	k := token.New("", start)
	requireState(t, token.Fresh, r, k, start)
	_, state := r.Claim(k, start)
	require.Equal(t, token.Fresh, state)
	requireState(t, token.Claimed, r, k, start)
	c := &conn{"new"}
	r.Connect(k, c)
	requireState(t, token.Connected, r, k, start)
	again, _ := r.Find(k, start)
	require.Same(t, c, again)
	requireState(t, token.Connected, r, k, start.Add(time.Hour))
	for range 2 {
		r.End(k, start.Add(time.Second))
		requireState(t, token.Invalid, r, k, start.Add(time.Second))
	}
	requireState(t, token.Invalid, r, k, start.Add(time.Hour))
}

// Tokens expire, and clocks of other nodes may differ by as much.
func TestLifetime(t *testing.T) {
	for name, row := range map[string]struct {
		age   time.Duration
		state token.State
	}{
		"new":                      {0, token.Fresh},
		"before the end":           {lifetime - 1, token.Fresh},
		"at the end":               {lifetime, token.Invalid},
		"years later":              {1 << 60, token.Invalid},
		"of a clock that is ahead": {-lifetime, token.Fresh},
		"of a clock too far ahead": {-lifetime - 1, token.Invalid},
		"of a clock years ahead":   {-1 << 60, token.Invalid},
		"of a clock a bit ahead":   {-time.Second, token.Fresh},
	} {
		t.Run(name, func(t *testing.T) {
			requireState(t, row.state, token.NewRecord[*conn](lifetime, 10), token.New("", start.Add(-row.age)), start)
		})
	}
}

// A token cannot be used again, whatever the clock does.
func TestClockIsSetBack(t *testing.T) {
	for name, end := range map[string]func(r *token.Record[*conn], k *token.Token){
		"after it was forgotten": func(r *token.Record[*conn], k *token.Token) {
			r.End(k, start)
			requireState(t, token.Invalid, r, k, start.Add(time.Minute))
		},
		"after a long connection": func(r *token.Record[*conn], k *token.Token) { r.End(k, start.Add(time.Minute)) },
	} {
		r := token.NewRecord[*conn](lifetime, 10)
		k := token.New("", start)
		_, _ = r.Claim(k, start)
		r.Connect(k, &conn{})
		end(r, k)
		_, state := r.Find(k, start)
		require.Equal(t, token.Invalid, state, name)
		requireState(t, token.Fresh, r, token.New("", start.Add(1)), start.Add(1))
	}
}

// At the limit the oldest used tokens are forgotten, and refused. Tokens that were not used take no place, and neither do
// connections that last.
func TestLimit(t *testing.T) {
	const limit = 10
	r := token.NewRecord[*conn](lifetime, limit)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }
	begin := func(i int) *token.Token {
		k := token.New("", at(i))
		_, state := r.Claim(k, at(i))
		require.Equal(t, token.Fresh, state)
		r.Connect(k, &conn{})
		return k
	}
	unused := token.New("", at(0))
	var lasting []*token.Token
	for i := range 1000 {
		lasting = append(lasting, begin(i))
	}
	requireState(t, token.Fresh, r, unused, at(1000))
	var ended []*token.Token
	for i := range limit {
		k := begin(1000 + i)
		r.End(k, at(1000+i))
		ended = append(ended, k)
	}
	requireState(t, token.Fresh, r, unused, at(2000))
	k := begin(2000)
	r.End(k, at(2000))
	ended = append(ended, k)
	requireState(t, token.Invalid, r, unused, at(2000))
	requireState(t, token.Fresh, r, token.New("", at(1001)), at(2000))
	for _, k := range lasting {
		requireState(t, token.Connected, r, k, at(2000))
	}
	for _, k := range ended {
		requireState(t, token.Invalid, r, k, at(2000))
	}
	for _, k := range lasting { // these are older than all that is remembered
		r.End(k, at(3000))
		requireState(t, token.Invalid, r, k, at(3000))
	}
	requireState(t, token.Fresh, r, token.New("", at(3000)), at(3000))
}

// A connection whose socket comes after the limit has made the Record forget its token.
func TestConnectedAfterForgotten(t *testing.T) {
	r := token.NewRecord[*conn](lifetime, 1)
	first, second := token.New("", start), token.New("", start.Add(1))
	_, _ = r.Claim(first, start)
	_, _ = r.Claim(second, start)
	requireState(t, token.Invalid, r, first, start)
	r.Connect(first, &conn{})
	requireState(t, token.Connected, r, first, start)
	r.End(first, start)
	requireState(t, token.Invalid, r, first, start)
	r.End(second, start) // its socket never came
	requireState(t, token.Invalid, r, second, start)
}

// Of requests at the same time one begins the connection.
func TestClaimAtOnce(t *testing.T) {
	r := token.NewRecord[*conn](lifetime, 10)
	k := token.New("", start)
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, state := r.Claim(k, start); state == token.Fresh {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
}

// Nothing of used tokens stays, also if no request comes.
func TestExpiredTokensAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := token.NewRecord[*conn](lifetime, 100)
		for round := range 3 {
			for i := range 10 {
				k := token.New("", time.Now())
				_, _ = r.Claim(k, time.Now())
				if i%2 == 0 {
					r.Connect(k, &conn{})
					r.End(k, time.Now())
				}
				time.Sleep(time.Second)
			}
			require.NotZero(t, r.Remembered())
			time.Sleep(2 * lifetime)
			synctest.Wait()
			require.Zero(t, r.Remembered(), "round %d", round)
		}
	})
}

// Of several connections of a token the last one counts, and one that was not a connection leaves the token as it was.
func TestReplaceAndRelease(t *testing.T) {
	r := token.NewRecord[*conn](lifetime, 10)
	k := token.New("", start)
	first, second, third := &conn{"first"}, &conn{"second"}, &conn{"third"}
	_, _ = r.Claim(k, start)
	_, state := r.Connect(k, first)
	require.Equal(t, token.Fresh, state)
	other, state := r.Connect(k, second)
	require.Equal(t, token.Connected, state)
	require.Same(t, first, other)
	r.Replace(k, second)
	r.Release(k, first) // is not the token's
	again, state := r.Find(k, start)
	require.Equal(t, token.Connected, state)
	require.Same(t, second, again)
	r.Release(k, second)
	requireState(t, token.Fresh, r, k, start)
	require.Zero(t, r.Remembered())
	requireState(t, token.Invalid, r, k, start.Add(lifetime))
	_, state = r.Connect(k, third) // its claim was that of the first
	require.Equal(t, token.Fresh, state)
	r.End(k, start)
	_, state = r.Connect(k, first)
	require.Equal(t, token.Invalid, state)
	requireState(t, token.Invalid, r, k, start)
}
