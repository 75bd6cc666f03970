package msgpack_test

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// target has a field for each kind of argument.
type target struct {
	I8     int8
	U64    uint64 `json:"u"`
	F      float32
	S      string
	B      []byte
	L      []*target
	M      map[string]int16
	K      map[any]any
	A      any
	T      time.Time
	P      **bool
	Arr    [2]target2
	Bytes4 [4]byte
}

type target2 struct{ X, Y float64 }

// FuzzMessagePack: cutting, parsing and decoding of any input end without a panic and within the limit. A message that
// was parsed can be written and parsed again.
func FuzzMessagePack(f *testing.F) {
	for _, seed := range []string{
		"0c950180a137a3416464922802", "0b950180c0a3416464922802029106", "0f960180a23134a353756d9091a23133", "07940280a2313327", "07940380a2313302",
		"14950380a2313301ac75706c6f61642062726f6b65", "11950480a23131a7436f756e746572920300", "06930580a23131", "08950380a27331030b",
		"039207c0", "0b9307a762616420646179c2", "049208ccc8", "079208ce00011170", "11960181a178a179a137a341646492010290",
		"0d980180a137a341646490c0c0c3", "ffffffff07", "808080808001", "119401c0a14191ddffffffff", "0c9501c0c0a1419181909001c2",
		"1a950180c0a1419181a24938cc80", "14950180c0a14191d7ff1d5353006553f100", "0c950180c0a14191c403010203",
	} {
		f.Add(unhex(f, seed), 64)
	}
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = max(0, limit)
		for {
			record, n, err := protocol.Cut(data, limit)
			if err != nil || n == 0 {
				return
			}
			require.LessOrEqual(t, len(record), limit)
			require.Greater(t, n, len(record))
			m, err := protocol.Parse(record)
			if err == nil && m != nil {
				again, err := protocol.Append(nil, m)
				require.NoError(t, err)
				m2, err := parse(t, again)
				require.NoError(t, err)
				require.Equal(t, m, m2)
				for _, raw := range values(m) {
					decodeAll(raw)
				}
			}
			decodeAll(hub.Raw(record)) // skip has not checked it
			data = data[n:]
		}
	})
}

func values(m hub.Message) []hub.Raw {
	switch m := m.(type) {
	case *hub.Invocation:
		return m.Arguments
	case *hub.StreamItem:
		return []hub.Raw{m.Item}
	case *hub.Completion:
		return []hub.Raw{m.Result}
	}
	return nil
}

func decodeAll(raw hub.Raw) {
	for _, v := range []any{new(any), new(target), new(*int), new([]string), new(map[string]any), new(map[float64][]int8), new(string), new(time.Duration), new(everything), new(hub.Raw), new(json.RawMessage), new(json.Number), new(*big.Int), new(map[level]id), new([]inner)} {
		if protocol.Decode(raw, v) == nil { // it must return
			_, _ = protocol.Encode(v)
		}
	}
}
