package transcode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// MaxDepth is how many levels of arrays and maps a value may have.
const MaxDepth = 1000

var (
	errTooDeep = errors.New("arrays and maps are nested too deeply")
	errTrailer = errors.New("data after the value")
)

// ToJSON appends a value of MessagePack to JSON.
func ToJSON(dst, value []byte) ([]byte, error) {
	dst, rest, err := appendJSON(dst, value, 0)
	if err == nil && len(rest) > 0 {
		err = errTrailer
	}
	return dst, err
}

func appendJSON(dst, p []byte, depth int) (out, rest []byte, err error) {
	h, p, err := mpack.Read(p)
	if err != nil {
		return dst, nil, err
	}
	switch h.Kind {
	case mpack.Nil:
		return append(dst, "null"...), p, nil
	case mpack.Bool:
		return strconv.AppendBool(dst, h.N == 1), p, nil
	case mpack.Int:
		if h.Negative {
			return strconv.AppendInt(dst, int64(h.N), 10), p, nil
		}
		return strconv.AppendUint(dst, h.N, 10), p, nil
	case mpack.Float:
		f, bits := h.Float(), 64
		if h.Single {
			bits = 32
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, nil, fmt.Errorf("JSON has no %v", f)
		}
		return appendFloat(dst, f, bits), p, nil
	case mpack.String:
		return appendText(dst, string(p[:h.N])), p[h.N:], nil
	case mpack.Binary:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, p[:h.N])
		return append(dst, '"'), p[h.N:], nil
	case mpack.Extension:
		t, err := mpack.Time(p[:h.N])
		dst = append(dst, '"')
		dst = t.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"'), p[h.N:], err
	}
	if depth == MaxDepth {
		return dst, nil, errTooDeep
	}
	if h.Kind == mpack.Array {
		return appendElements(append(dst, '['), p, h.N, depth+1)
	}
	return appendMembers(append(dst, '{'), p, h.N, depth+1)
}

func appendElements(dst, p []byte, n uint64, depth int) (out, rest []byte, err error) {
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, p, err = appendJSON(dst, p, depth); err != nil {
			return dst, nil, err
		}
	}
	return append(dst, ']'), p, nil
}

func appendMembers(dst, p []byte, n uint64, depth int) (out, rest []byte, err error) {
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		var key string
		if key, p, err = mpack.KeyText(p); err != nil {
			return dst, nil, err
		}
		dst = append(appendText(dst, key), ':')
		if dst, p, err = appendJSON(dst, p, depth); err != nil {
			return dst, nil, err
		}
	}
	return append(dst, '}'), p, nil
}

// appendText appends a text as a string of JSON.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < 0x20 || b >= 0x7f || b == '"' || b == '\\' {
			quoted, _ := json.Marshal(s) // does not fail for a string
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
