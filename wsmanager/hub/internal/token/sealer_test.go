package token_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

func key(b byte, size int) []byte { return bytes.Repeat([]byte{b}, size) }

// A token that was sealed is opened with all that it had.
func TestSealAndOpen(t *testing.T) {
	at := time.Now()
	for _, keys := range [][][]byte{nil, {key(1, 16)}, {key(1, 24)}, {key(1, 32)}, {key(1, 32), key(2, 16)}} {
		s := token.NewSealer(keys)
		for _, user := range []string{"", "ann", strings.Repeat("ä", 10_000)} {
			k := token.New(user, at)
			k.Stateful, k.Version0 = user == "", user != ""
			text := s.Seal(k)
			require.Equal(t, url.QueryEscape(text), text)
			require.True(t, strings.HasPrefix(text, httpx.ConnectionTokenPrefix))
			require.NotContains(t, text, k.ID.String())
			require.NotEqual(t, text, s.Seal(k), "each token has a salt")
			got := s.Open(text)
			require.NotNil(t, got)
			require.True(t, got.Sealed.Equal(at))
			require.Equal(t, k.ID, got.ID)
			require.Equal(t, k.Stateful, got.Stateful)
			require.Equal(t, k.Version0, got.Version0)
			require.True(t, got.IsFor(user))
			require.False(t, got.IsFor(user+"x"))
		}
	}
}

// The first key seals, all keys open.
func TestRotation(t *testing.T) {
	before, after, other := key(1, 32), key(2, 32), key(3, 32)
	old, both, rotated, next := token.NewSealer([][]byte{before}), token.NewSealer([][]byte{before, after}), token.NewSealer([][]byte{after, before}), token.NewSealer([][]byte{after})
	text := func(s *token.Sealer) string { return s.Seal(token.New("ann", time.Now())) }
	for name, row := range map[string]struct {
		text   string
		by     *token.Sealer
		opened bool
	}{
		"the old key, old node":         {text(old), both, true},
		"the old key, rotated node":     {text(both), rotated, true},
		"the old key, after rotation":   {text(both), next, false},
		"the new key, prepared node":    {text(rotated), both, true},
		"the new key, new node":         {text(rotated), next, true},
		"the new key, unprepared node":  {text(next), old, false},
		"a foreign key":                 {text(token.NewSealer([][]byte{other})), both, false},
		"a random key":                  {text(token.NewSealer(nil)), token.NewSealer(nil), false},
		"a short key that begins alike": {text(token.NewSealer([][]byte{key(1, 16)})), old, false},
	} {
		require.Equal(t, row.opened, row.by.Open(row.text) != nil, name)
	}
}

// The Sealer has keys of its own: the caller may overwrite its slices.
func TestKeysAreCopied(t *testing.T) {
	own := key(1, 32)
	s := token.NewSealer([][]byte{own})
	text := s.Seal(token.New("", time.Now()))
	clear(own)
	require.NotNil(t, s.Open(text))
}

func TestValidKey(t *testing.T) {
	for size := range 70 {
		require.Equal(t, size == 16 || size == 24 || size == 32, token.ValidKey(make([]byte, size)))
	}
}

// Nothing but the exact text of a token is opened.
func TestTampered(t *testing.T) {
	s := token.NewSealer(nil)
	text := s.Seal(token.New("ann", time.Now()))
	for i := range len(text) {
		require.Nil(t, s.Open(text[:i]), "%d characters", i)
		require.Nil(t, s.Open(text[i+1:]))
		for _, c := range []byte{'A', 'B', '-', '_', '=', '\n', 0, 0xff} {
			changed := []byte(text)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			require.Nil(t, s.Open(string(changed)), "character %d is %q", i, c)
			require.Nil(t, s.Open(text[:i]+string(c)+text[i:]))
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, httpx.ConnectionTokenPrefix))
	require.NoError(t, err)
	require.Nil(t, s.Open(httpx.ConnectionTokenPrefix+base64.URLEncoding.EncodeToString(raw)), "padding")
	require.Nil(t, s.Open(string(raw)))
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			require.Nil(t, s.Open(httpx.ConnectionTokenPrefix+base64.RawURLEncoding.EncodeToString(raw)))
			raw[i] ^= 1 << bit
		}
	}
}

// Each process of the fuzzer has a key of its own, so no text of the corpus is a token.
func FuzzOpen(f *testing.F) {
	s := token.NewSealer(nil)
	sealed := s.Seal(token.New("ann", time.Unix(1, 2)))
	for _, seed := range []string{"", httpx.ConnectionTokenPrefix, sealed, sealed[:40], strings.ToUpper(sealed), sealed + "=", "x" + sealed[1:]} {
		f.Add(seed, 10, 20)
	}
	f.Fuzz(func(t *testing.T, text string, from, to int) {
		if s.Open(text) != nil && text != sealed {
			t.Fatalf("%q was opened", text)
		}
		from, to = min(max(from, 0), len(sealed)), min(max(to, 0), len(sealed))
		if changed := sealed[:from] + text + sealed[to:]; s.Open(changed) != nil && changed != sealed {
			t.Fatalf("%q was opened", changed)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, k := token.NewSealer(nil), token.New("ann", time.Now())
	for b.Loop() {
		s.Seal(k)
	}
}

func BenchmarkOpenForeign(b *testing.B) {
	s := token.NewSealer(nil)
	text := token.NewSealer(nil).Seal(token.New("ann", time.Now()))
	for b.Loop() {
		s.Open(text)
	}
}
