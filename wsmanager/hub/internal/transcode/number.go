package transcode

import (
	"math"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// AppendNumber appends a number of JSON to a value of MessagePack. Integers of 64 bits are integers. A number whose digits a
// float64 has is a float64; others are texts.
func AppendNumber(dst []byte, number string) []byte {
	if !strings.ContainsAny(number, ".eE") {
		if i, err := strconv.ParseInt(number, 10, 64); err == nil {
			return mpack.AppendInt(dst, i)
		}
		if u, err := strconv.ParseUint(number, 10, 64); err == nil {
			return mpack.AppendUint(dst, u)
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err == nil && !math.IsInf(f, 0) {
		digits, exponent, ok := significant(number)
		d, e, _ := significant(strconv.FormatFloat(f, 'e', -1, 64))
		if ok && digits == d && exponent == e {
			return mpack.AppendFloat64(dst, f)
		}
	}
	return mpack.AppendString(dst, number)
}

// significant returns the digits of a number without zeros at either end, and the power of ten of the last digit. ok is false
// for an exponent that is too large.
func significant(number string) (digits string, exponent int, ok bool) {
	number = strings.TrimPrefix(number, "-")
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[i+1:]); err != nil || exponent > 1e6 || exponent < -1e6 {
			return "", 0, false
		}
		number = number[:i]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if trimmed == "" {
		exponent = 0
	}
	return trimmed, exponent, true
}

// appendFloat appends a finite float in the format of encoding/json.
func appendFloat(dst []byte, f float64, bits int) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 {
		if bits == 64 && (abs < 1e-6 || abs >= 1e21) || bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21) {
			format = 'e'
		}
	}
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is e-9
		dst = dst[:n-1]
	}
	return dst
}
