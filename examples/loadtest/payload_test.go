package main

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

var kinds = []kind{kindRandom, kindJSON}

func (c *codec) message(s stamp) wsmanager.Message {
	return wsmanager.Message{Type: c.messageType(), Payload: c.encode(nil, s)}
}

func TestCodec(t *testing.T) {
	for _, k := range kinds {
		for _, size := range []int{k.minSize(), k.minSize() + 1, 128, 300, 1000, 5000, 70_000} {
			c := newCodec(k, size, 42)
			for n := range uint64(40) {
				s := stamp{sender: 7, sequence: n, due: 3 * time.Second}
				m := c.message(s)
				require.Len(t, m.Payload, size)
				if k == kindJSON {
					require.True(t, json.Valid(m.Payload), "%s", m.Payload)
				}
				got, err := c.decode(m)
				require.NoError(t, err)
				require.Equal(t, s, got)
			}
		}
	}
}

// Changes of each byte, the length and the type are detected.
func TestCodecFindsChanges(t *testing.T) {
	for _, k := range kinds {
		c := newCodec(k, 200, 42)
		whole := c.message(stamp{sender: 7, sequence: 8, due: 9})
		for i := range whole.Payload {
			for _, flip := range []byte{1, 0x80} {
				m := wsmanager.Message{Type: whole.Type, Payload: slices.Clone(whole.Payload)}
				m.Payload[i] ^= flip
				_, err := c.decode(m)
				require.Error(t, err, "%s, byte %d", k, i)
				if i > c.size/2 {
					require.Equal(t, faultCorrupted, err, "%s, byte %d", k, i)
				}
			}
		}
		for n := range whole.Payload {
			_, err := c.decode(wsmanager.Message{Type: whole.Type, Payload: whole.Payload[:n]})
			require.Error(t, err, "%s, cut to %d", k, n)
		}
		_, err := c.decode(wsmanager.Message{Type: whole.Type, Payload: append(slices.Clone(whole.Payload), 'x')})
		require.Equal(t, faultCorrupted, err)
		_, err = c.decode(wsmanager.Message{Type: 3 - whole.Type, Payload: whole.Payload})
		require.Equal(t, faultCorrupted, err, "of another type")
		_, err = newCodec(k, 200, 43).decode(whole)
		require.Equal(t, faultForeign, err, "of another run")
		for _, text := range []string{"", "hello", string(bytes.Repeat([]byte("hello "), 50))} {
			_, err = c.decode(wsmanager.Text(text))
			require.Equal(t, faultForeign, err, "%q", text)
		}
	}
}

// JSON compresses like the answers of an API. Random bytes do not.
func TestPayloadsCompress(t *testing.T) {
	ratio := func(k kind, size int) float64 {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, 1)
		require.NoError(t, err)
		_, err = w.Write(newCodec(k, size, 0x0123456789abcdef).encode(nil, stamp{sequence: 1}))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return float64(out.Len()) / float64(size)
	}
	require.Greater(t, ratio(kindRandom, 4096), 1.0)
	require.InDelta(t, 0.3, ratio(kindJSON, 4096), 0.12)
}

// The messages are the same in each run, so that runs can be compared, and differ within a
// run.
func TestFillers(t *testing.T) {
	a, b := newCodec(kindJSON, 500, 1), newCodec(kindJSON, 500, 2)
	require.Equal(t, a.fillers, b.fillers)
	require.NotEqual(t, a.fillers[0], a.fillers[1])
}
