package dotnet

import (
	"bytes"
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// Decimal is a decimal of .NET: an integer of up to 96 bits, divided by a power of ten up to 10^28. It keeps zeros at its end:
// 1.10 is not 1.1 for ==, though Rat returns the same number. Compute with Coefficient and Scale, or with Rat.
type Decimal struct {
	hi       uint32 // of the coefficient
	lo       uint64
	scale    uint8
	negative bool
}

const maxScale = 28

const decimalForm = `a number of up to 28 digits, or its text in MessagePack,`

// NewDecimal returns coefficient / 10^scale. It is an error if the coefficient has more than 96 bits, or if scale is not from 0
// to 28.
func NewDecimal(coefficient *big.Int, scale int) (Decimal, error) {
	if coefficient.BitLen() > 96 || scale < 0 || scale > maxScale {
		return Decimal{}, fmt.Errorf("dotnet: a decimal has up to 96 bits and a scale from 0 to %d", maxScale)
	}
	var b [12]byte
	coefficient.FillBytes(b[:])
	hi, lo := new(big.Int).SetBytes(b[:4]), new(big.Int).SetBytes(b[4:])
	return Decimal{uint32(hi.Uint64()), lo.Uint64(), uint8(scale), coefficient.Sign() < 0}, nil
}

// ParseDecimal parses the number syntax of JSON: "-1.10", "5", "1e2". A number that a decimal cannot hold with all its digits
// is an error.
func ParseDecimal(s string) (Decimal, error) {
	bad := func() (Decimal, error) { return Decimal{}, wrong("decimal", decimalForm, s) }
	number, negative := strings.CutPrefix(s, "-")
	exponent := 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		e, err := strconv.ParseInt(number[i+1:], 10, 16)
		if err != nil {
			return bad()
		}
		number, exponent = number[:i], int(e)
	}
	whole, fraction, dot := strings.Cut(number, ".")
	if whole == "" || dot && fraction == "" || len(whole) > 1 && whole[0] == '0' {
		return bad()
	}
	d := Decimal{negative: negative}
	for _, c := range []byte(whole + fraction) {
		if c < '0' || c > '9' || !d.shift(uint64(c-'0')) {
			return bad()
		}
	}
	scale := len(fraction) - exponent
	for ; scale < 0; scale++ {
		if d.hi == 0 && d.lo == 0 {
			scale = -1 // zero needs no further digits
		} else if !d.shift(0) {
			return bad()
		}
	}
	if scale > maxScale {
		return bad()
	}
	d.scale = uint8(scale)
	d.negative = negative && (d.hi != 0 || d.lo != 0)
	return d, nil
}

// shift appends a digit to the coefficient. It reports false if that does not fit.
func (d *Decimal) shift(digit uint64) bool {
	carry, lo := bits.Mul64(d.lo, 10)
	lo, c := bits.Add64(lo, digit, 0)
	hi := uint64(d.hi)*10 + carry + c
	if hi>>32 != 0 {
		return false
	}
	d.hi, d.lo = uint32(hi), lo
	return true
}

// Coefficient returns the number without its decimal point.
func (d Decimal) Coefficient() *big.Int {
	c := new(big.Int).SetUint64(uint64(d.hi))
	c.Lsh(c, 64).Or(c, new(big.Int).SetUint64(d.lo))
	if d.negative {
		c.Neg(c)
	}
	return c
}

// Scale returns the number of digits after the decimal point.
func (d Decimal) Scale() int { return int(d.scale) }

// Rat returns the number.
func (d Decimal) Rat() *big.Rat {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.scale)), nil)
	return new(big.Rat).SetFrac(d.Coefficient(), power)
}

// String returns the number with all its digits: "1.10".
func (d Decimal) String() string {
	s := d.Coefficient().String()
	s, negative := strings.CutPrefix(s, "-")
	if n := int(d.scale); n > 0 {
		if len(s) <= n {
			s = strings.Repeat("0", n-len(s)+1) + s
		}
		s = s[:len(s)-n] + "." + s[len(s)-n:]
	}
	if negative {
		s = "-" + s
	}
	return s
}

// MarshalText returns the text of String.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses a number; see ParseDecimal.
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDecimal(string(text))
	return err
}

// MarshalJSON returns a JSON number with all digits.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON parses a JSON number. A text is an error.
func (d *Decimal) UnmarshalJSON(p []byte) error {
	if isNull(p) {
		return nil
	}
	return d.UnmarshalText(bytes.TrimSpace(p))
}

// MarshalMsgpack returns the text of the number.
func (d Decimal) MarshalMsgpack() ([]byte, error) { return mpack.AppendString(nil, d.String()), nil }

// UnmarshalMsgpack reads the text of a number. A number is an error.
func (d *Decimal) UnmarshalMsgpack(p []byte) error {
	h, text, err := whole(p, "decimal", decimalForm, mpack.String, mpack.Nil)
	if err != nil || h.Kind == mpack.Nil {
		return err
	}
	return d.UnmarshalText(text[:h.N])
}
